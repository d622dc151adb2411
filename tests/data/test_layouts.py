"""Tiny data sets in every documented layout, packed and unpacked, give the right split."""

import shutil
import unicodedata

import pytest
import torch

from benchmark.core.errors import BenchmarkError


@pytest.mark.parametrize("name", ("cub200", "sop", "inshop", "cars196"))
def test_a_tiny_data_set_in_the_official_layout(name, folders, tiny_sets):
    tiny_sets.write[name](folders.data)
    assert tiny_sets.missing(name, folders) is None
    split = tiny_sets.load(name, folders)
    assert split.train.labels.tolist() == [0, 0, 1, 1]
    assert split.test.labels.tolist() == [0, 0, 1, 1]
    assert split.train.image_shape == (3, 32, 32)
    assert len({*split.train.ids.tolist(), *split.test.ids.tolist()}) == 8
    wanted = [True, False, True, False] if name == "inshop" else None
    assert (None if split.test.queries is None else split.test.queries.tolist()) == wanted
    again = tiny_sets.load(name, folders)
    assert torch.equal(again.test.batch(slice(None)), split.test.batch(slice(None)))
    assert len(list(folders.cache.glob("*.pixels"))) == 1


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("cub200", (3, 77, 104, 199)),
        ("sop", (5, 900, 11_400, 22_000)),
        ("inshop", (4, 90, 100, 7_982)),
        ("cars196", (2, 50, 120, 190)),
    ],
)
def test_gaps_in_the_numbers_of_classes_leave_none_in_the_labels(name, labels, folders, tiny_sets):
    tiny_sets.write[name](folders.data, labels)
    split = tiny_sets.load(name, folders)
    assert split.train.labels.tolist() == split.test.labels.tolist() == [0, 0, 1, 1]


def moved(folder, to):
    to.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(folder, to)


@pytest.mark.parametrize("folder", ["cub200/CUB_200_2011", "cub200"])
def test_cub_in_a_folder_below(folder, folders, tiny_sets):
    moved(tiny_sets.cub(folders.data), folders.data / folder)
    assert tiny_sets.missing("cub200", folders) is None and len(tiny_sets.load("cub200", folders).test) == 4


@pytest.mark.parametrize("folder", ["cars196", "CARS196", "cars"])
def test_cars_in_a_folder_below(folder, folders, tiny_sets):
    tiny_sets.cars(folders.data / folder)
    assert tiny_sets.missing("cars196", folders) is None and len(tiny_sets.load("cars196", folders).test) == 4


@pytest.mark.parametrize(
    "folder",
    [
        "In-shop_Clothes_Retrieval_Benchmark",
        "Inshop_Clothes",
        "inshop/In-shop_Clothes_Retrieval_Benchmark",
        "inshop",
    ],
)
def test_inshop_in_folders_of_other_names(folder, folders, tiny_sets):
    moved(tiny_sets.inshop(folders.data), folders.data / folder)
    assert tiny_sets.missing("inshop", folders) is None and len(tiny_sets.load("inshop", folders).test) == 4


def test_the_list_of_inshop_beside_its_images(folders, tiny_sets):
    folder = tiny_sets.inshop(folders.data)
    moved(folder / "Eval" / "list_eval_partition.txt", folder / "list_eval_partition.txt")
    moved(folder / "Img" / "img", folder / "img")
    assert len(tiny_sets.load("inshop", folders).test) == 4


@pytest.mark.parametrize("archive", ["Img/img.zip", "img.zip"])
def test_images_of_inshop_in_their_archive(archive, folders, tiny_sets):
    folder = tiny_sets.inshop(folders.data)
    tiny_sets.pack(folder / archive, folder / "Img" / "img")
    assert len(tiny_sets.load("inshop", folders).test) == 4


@pytest.mark.parametrize("nested", [False, True])
def test_all_of_inshop_in_one_zip(nested, folders, tiny_sets):
    folder = tiny_sets.inshop(folders.data)
    if nested:
        tiny_sets.pack(folder / "Img" / "img.zip", folder / "Img" / "img")
    tiny_sets.pack(folders.data / "In-shop Clothes Retrieval Benchmark.zip", folder)
    assert tiny_sets.missing("inshop", folders) is None
    assert len(tiny_sets.load("inshop", folders).test) == 4


@pytest.mark.parametrize(
    ("name", "archive"),
    [
        ("cub200", "CUB_200_2011.tgz"),
        ("cub200", "cub200/CUB_200_2011.tar.gz"),
        ("sop", "Stanford_Online_Products.zip"),
        ("sop", "sop/Stanford_Online_Products.zip"),
    ],
)
def test_an_archive_as_it_was_downloaded(name, archive, folders, tiny_sets):
    tiny_sets.pack(folders.data / archive, tiny_sets.write[name](folders.data))
    assert tiny_sets.missing(name, folders) is None
    assert not folders.cache.exists()
    assert len(tiny_sets.load(name, folders).test) == 4


def test_the_images_of_cars_in_their_archive(folders, tiny_sets):
    tiny_sets.pack(folders.data / "cars196" / "car_ims.tgz", tiny_sets.cars(folders.data / "cars196"))
    assert tiny_sets.missing("cars196", folders) is None
    assert len(tiny_sets.load("cars196", folders).test) == 4


@pytest.mark.parametrize("packed", [(), ("devkit",), ("cars_train",), ("devkit", "cars_train", "cars_test")])
def test_cars_as_torchvision_has_them(packed, folders, tiny_sets):
    folder = tiny_sets.cars_of_torchvision(folders.data)
    for name in packed:
        tiny_sets.pack(folder / f"{'car_devkit' if name == 'devkit' else name}.tgz", folder / name)
    assert tiny_sets.missing("cars196", folders) is None
    split = tiny_sets.load("cars196", folders)
    assert sorted(split.test.labels.tolist()) == sorted(split.train.labels.tolist()) == [0, 0, 1, 1]


def test_an_archive_of_half_the_images_is_not_unpacked(folders, tiny_sets):
    folder = tiny_sets.cars_of_torchvision(folders.data)
    tiny_sets.pack(folder / "cars_train.tgz", folder / "cars_train")
    shutil.rmtree(folder / "cars_test")
    reason = tiny_sets.missing("cars196", folders)
    assert (
        "4 of 8 images" in reason and "cars_test/00001.jpg" in reason and "put cars_test.tgz there" in reason
    )
    tiny_sets.refused("cars196", folders, "cars_test.tgz")
    assert not folders.cache.exists()


@pytest.mark.slow
@pytest.mark.parametrize("folder", [".", "cars196", "car_data", "cars196/car_data"])
def test_cars_in_kaggles_folders(folder, folders, tiny_sets):
    made = tiny_sets.cars_of_kaggle(folders.data)
    if folder != ".":
        aside = folders.data / "aside"
        moved(made / "car_data" if folder.endswith("car_data") else made, aside)
        shutil.rmtree(made, ignore_errors=True)
        moved(aside, folders.data / folder / ("" if folder.endswith("car_data") else "car_data"))
    split = tiny_sets.load("cars196", folders)
    assert (split.train.num_classes, split.test.num_classes) == (98, 2)


@pytest.mark.parametrize(
    "archive", ["archive.zip", "cars196/archive.zip", "stanford-car-dataset-by-classes-folder.zip"]
)
def test_cars_in_kaggles_archive(archive, folders, tiny_sets):
    tiny_sets.pack(folders.data / archive, tiny_sets.cars_of_kaggle(folders.data))
    assert tiny_sets.missing("cars196", folders) is None
    split = tiny_sets.load("cars196", folders)
    assert (split.train.num_classes, split.test.num_classes) == (98, 2)


def test_another_archive_of_kaggle_is_not_taken_for_cars(folders, tiny_sets):
    tiny_sets.picture(folders.data / "cats" / "1.jpg", 1)
    tiny_sets.pack(folders.data / "archive.zip", folders.data / "cats")
    assert "is not in" in tiny_sets.missing("cars196", folders)


def test_unpacked_files_are_used_before_archives(folders, tiny_sets):
    tiny_sets.pack(folders.data / "CUB_200_2011.tgz", tiny_sets.cub(folders.data), keep=True)
    tiny_sets.load("cub200", folders)
    assert not (folders.cache / "unpacked").exists()


def test_a_damaged_folder_beside_an_intact_archive(folders, tiny_sets):
    folder = tiny_sets.cub(folders.data)
    tiny_sets.pack(folders.data / "CUB_200_2011.tgz", folder, keep=True)
    shutil.rmtree(folder / "images")
    assert tiny_sets.missing("cub200", folders) is None
    assert len(tiny_sets.load("cub200", folders).test) == 4


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_names_that_are_not_ascii(form, folders, tiny_sets):
    folder = tiny_sets.sop(folders.data)
    name = "chair_final/Café_É.JPG"
    (folder / "chair_final" / "4_1.JPG").rename(folder / unicodedata.normalize(form, name))
    listing = folder / "Ebay_test.txt"
    listing.write_text(listing.read_text().replace("chair_final/4_1.JPG", name), encoding="utf-8")
    assert len(tiny_sets.load("sop", folders).test) == 4


def test_the_lists_of_sop_without_their_titles_are_refused(folders, tiny_sets):
    listing = tiny_sets.sop(folders.data) / "Ebay_train.txt"
    listing.write_text(listing.read_text().partition("\n")[2])
    with pytest.raises(BenchmarkError, match=r"Ebay_train.txt lacks its first line, of titles"):
        tiny_sets.load("sop", folders)


@pytest.mark.parametrize("name", ["images.txt", "image_class_labels.txt"])
def test_two_lines_for_one_bird_are_refused(name, folders, tiny_sets):
    file = tiny_sets.cub(folders.data) / name
    first = file.read_text().partition("\n")[0]
    file.write_text(f"{first}\n{file.read_text()}")
    with pytest.raises(BenchmarkError, match=rf"{name} has 2 lines for image 1; unpack the archive again"):
        tiny_sets.load("cub200", folders)


@pytest.mark.parametrize("name", ["images.txt", "image_class_labels.txt"])
def test_blanks_and_a_byte_order_mark_in_the_metadata(name, folders, tiny_sets):
    file = tiny_sets.cub(folders.data) / name
    before = tiny_sets.build("cub200").fingerprint(folders)
    file.write_bytes(("\ufeff" + file.read_text().replace("\n", " \r\n") + "  \n\n").encode())
    assert tiny_sets.build("cub200").fingerprint(folders._replace(cache=folders.cache / "other")) == before
