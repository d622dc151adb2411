"""Tiny data sets in every layout that is told to be read, packed and unpacked: the right split."""

import shutil
import unicodedata

import pytest
import torch
from layouts_on_disk import (
    LAYOUTS,
    build,
    cars,
    cars_of_kaggle,
    cars_of_torchvision,
    cub,
    inshop,
    load,
    pack,
    picture,
    refused,
    sop,
    told,
)


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_tiny_data_set_in_the_official_layout(name, places):
    LAYOUTS[name](places.data)
    assert told(name, places) is None
    split = load(name, places)
    assert split.train.labels.tolist() == [0, 0, 1, 1]
    assert split.test.labels.tolist() == [0, 0, 1, 1]
    assert split.train.image_shape == (3, 32, 32)
    assert len({*split.train.ids.tolist(), *split.test.ids.tolist()}) == 8
    wanted = [True, False, True, False] if name == "inshop" else None
    assert (None if split.test.queries is None else split.test.queries.tolist()) == wanted
    again = load(name, places)
    assert torch.equal(again.test.batch(slice(None)), split.test.batch(slice(None)))
    assert len(list(places.cache.glob("*.pixels"))) == 1


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("cub200", (3, 77, 104, 199)),
        ("sop", (5, 900, 11_400, 22_000)),
        ("inshop", (4, 90, 100, 7_982)),
        ("cars196", (2, 50, 120, 190)),
    ],
)
def test_gaps_in_the_numbers_of_classes_leave_none_in_the_labels(name, labels, places):
    LAYOUTS[name](places.data, labels)
    split = load(name, places)
    assert split.train.labels.tolist() == split.test.labels.tolist() == [0, 0, 1, 1]


def moved(folder, to):
    to.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(folder, to)


@pytest.mark.parametrize("folder", ["cub200/CUB_200_2011", "cub200"])
def test_cub_in_a_folder_below(folder, places):
    moved(cub(places.data), places.data / folder)
    assert told("cub200", places) is None and len(load("cub200", places).test) == 4


@pytest.mark.parametrize("folder", ["cars196", "CARS196", "cars"])
def test_cars_in_a_folder_below(folder, places):
    cars(places.data / folder)
    assert told("cars196", places) is None and len(load("cars196", places).test) == 4


@pytest.mark.parametrize(
    "folder",
    [
        "In-shop_Clothes_Retrieval_Benchmark",
        "Inshop_Clothes",
        "inshop/In-shop_Clothes_Retrieval_Benchmark",
        "inshop",
    ],
)
def test_inshop_in_folders_of_other_names(folder, places):
    moved(inshop(places.data), places.data / folder)
    assert told("inshop", places) is None and len(load("inshop", places).test) == 4


def test_the_list_of_inshop_beside_its_images(places):
    folder = inshop(places.data)
    moved(folder / "Eval" / "list_eval_partition.txt", folder / "list_eval_partition.txt")
    moved(folder / "Img" / "img", folder / "img")
    assert len(load("inshop", places).test) == 4


@pytest.mark.parametrize("archive", ["Img/img.zip", "img.zip"])
def test_images_of_inshop_in_their_archive(archive, places):
    folder = inshop(places.data)
    pack(folder / archive, folder / "Img" / "img")
    assert len(load("inshop", places).test) == 4


@pytest.mark.parametrize("nested", [False, True])
def test_the_whole_of_inshop_in_one_zip(nested, places):
    folder = inshop(places.data)
    if nested:
        pack(folder / "Img" / "img.zip", folder / "Img" / "img")
    pack(places.data / "In-shop Clothes Retrieval Benchmark.zip", folder)
    assert told("inshop", places) is None
    assert len(load("inshop", places).test) == 4


@pytest.mark.parametrize(
    ("name", "archive"),
    [
        ("cub200", "CUB_200_2011.tgz"),
        ("cub200", "cub200/CUB_200_2011.tar.gz"),
        ("sop", "Stanford_Online_Products.zip"),
        ("sop", "sop/Stanford_Online_Products.zip"),
    ],
)
def test_an_archive_as_it_was_downloaded(name, archive, places):
    pack(places.data / archive, LAYOUTS[name](places.data))
    assert told(name, places) is None
    assert not places.cache.exists()
    assert len(load(name, places).test) == 4


def test_the_images_of_cars_in_their_archive(places):
    pack(places.data / "cars196" / "car_ims.tgz", cars(places.data / "cars196"))
    assert told("cars196", places) is None
    assert len(load("cars196", places).test) == 4


@pytest.mark.parametrize("packed", [(), ("devkit",), ("cars_train",), ("devkit", "cars_train", "cars_test")])
def test_cars_as_torchvision_has_them(packed, places):
    folder = cars_of_torchvision(places.data)
    for name in packed:
        pack(folder / f"{'car_devkit' if name == 'devkit' else name}.tgz", folder / name)
    assert told("cars196", places) is None
    split = load("cars196", places)
    assert sorted(split.test.labels.tolist()) == sorted(split.train.labels.tolist()) == [0, 0, 1, 1]


def test_an_archive_of_half_the_images_is_not_unpacked_in_vain(places):
    folder = cars_of_torchvision(places.data)
    pack(folder / "cars_train.tgz", folder / "cars_train")
    shutil.rmtree(folder / "cars_test")
    reason = told("cars196", places)
    assert (
        "4 of 8 images" in reason and "cars_test/00001.jpg" in reason and "put cars_test.tgz there" in reason
    )
    refused("cars196", places, "cars_test.tgz")
    assert not places.cache.exists()


@pytest.mark.parametrize("folder", [".", "cars196", "car_data", "cars196/car_data"])
def test_cars_in_kaggles_folders(folder, places):
    made = cars_of_kaggle(places.data)
    if folder != ".":
        aside = places.data / "aside"
        moved(made / "car_data" if folder.endswith("car_data") else made, aside)
        shutil.rmtree(made, ignore_errors=True)
        moved(aside, places.data / folder / ("" if folder.endswith("car_data") else "car_data"))
    split = load("cars196", places)
    assert (split.train.num_classes, split.test.num_classes) == (98, 2)


@pytest.mark.parametrize(
    "archive", ["archive.zip", "cars196/archive.zip", "stanford-car-dataset-by-classes-folder.zip"]
)
def test_cars_in_kaggles_archive(archive, places):
    pack(places.data / archive, cars_of_kaggle(places.data))
    assert told("cars196", places) is None
    split = load("cars196", places)
    assert (split.train.num_classes, split.test.num_classes) == (98, 2)


def test_another_archive_of_kaggle_is_not_taken_for_cars(places):
    picture(places.data / "cats" / "1.jpg", 1)
    pack(places.data / "archive.zip", places.data / "cats")
    assert "is not in" in told("cars196", places)


def test_what_lies_unpacked_is_taken_before_what_is_packed(places):
    pack(places.data / "CUB_200_2011.tgz", cub(places.data), keep=True)
    load("cub200", places)
    assert not (places.cache / "unpacked").exists()


def test_a_damaged_folder_beside_a_sound_archive(places):
    folder = cub(places.data)
    pack(places.data / "CUB_200_2011.tgz", folder, keep=True)
    shutil.rmtree(folder / "images")
    assert told("cub200", places) is None
    assert len(load("cub200", places).test) == 4


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_names_that_are_not_ascii(form, places):
    folder = sop(places.data)
    name = "chair_final/Café_É.JPG"
    (folder / "chair_final" / "4_1.JPG").rename(folder / unicodedata.normalize(form, name))
    listing = folder / "Ebay_test.txt"
    listing.write_text(listing.read_text().replace("chair_final/4_1.JPG", name), encoding="utf-8")
    assert len(load("sop", places).test) == 4


@pytest.mark.parametrize("name", ["images.txt", "image_class_labels.txt"])
def test_blanks_and_a_byte_order_mark_in_the_metadata(name, places):
    file = cub(places.data) / name
    before = build("cub200").fingerprint(places)
    file.write_bytes(("\ufeff" + file.read_text().replace("\n", " \r\n") + "  \n\n").encode())
    assert build("cub200").fingerprint(places._replace(cache=places.cache / "other")) == before
