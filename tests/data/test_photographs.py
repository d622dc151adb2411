"""Tiny data sets in the official layouts: the right split, and one line for each kind of damage."""

import shutil
import tarfile
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat

from benchmark.core.errors import BenchmarkError
from benchmark.data import DATASETS, Folders
from benchmark.data.photographs import Entry

OPTIONS = "[partial=true,size=32,resize=40]"


def picture(file, number, mode="RGB"):
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (60, 48), (number * 7 % 256, 100, 50)).convert(mode).save(file)


def cub(root):
    folder = root / "CUB_200_2011"
    names = [f"{label:03d}.Bird/b{label}_{i}.jpg" for label in (1, 2, 101, 102) for i in range(2)]
    for number, name in enumerate(names):
        picture(folder / "images" / name, number, "L" if number == 0 else "CMYK" if number == 1 else "RGB")
    lines = [f"{number} {name}" for number, name in enumerate(names, 1)]
    (folder / "images.txt").write_text("\n".join(lines))
    labels = [f"{number} {int(name[:3])}" for number, name in enumerate(names, 1)]
    (folder / "image_class_labels.txt").write_text("\n".join(labels))
    return folder


def sop(root):
    folder = root / "Stanford_Online_Products"
    number = 0
    for side, classes in (("train", (1, 2)), ("test", (3, 4))):
        lines = ["image_id class_id super_class_id path"]
        for label in classes:
            for i in range(2):
                number += 1
                picture(folder / "chair_final" / f"{label}_{i}.JPG", number)
                lines.append(f"{number} {label} 1 chair_final/{label}_{i}.JPG")
        (folder / f"Ebay_{side}.txt").write_text("\n".join(lines))
    return folder


def inshop(root):
    folder = root / "In-shop Clothes Retrieval Benchmark"
    rows = []
    for label, sides in ((1, "train train"), (2, "train train"), (3, "query gallery"), (7, "query gallery")):
        for i, side in enumerate(sides.split()):
            name = f"img/WOMEN/Dresses/id_{label:08d}/0{i}_front.jpg"
            picture(folder / "Img" / name, 10 * label + i)
            rows.append(f"{name}   id_{label:08d}   {side}")
    (folder / "Eval").mkdir()
    head = f"{len(rows)}\nimage_name item_id evaluation_status\n"
    (folder / "Eval" / "list_eval_partition.txt").write_text(head + "\n".join(rows))
    return folder


def annotations(rows, name):
    return {"annotations": np.array(rows, dtype=[(name, object), ("class", object)])}


def cars(root):
    rows = []
    for number, label in enumerate((1, 1, 98, 98, 99, 99, 196, 196)):
        picture(root / "car_ims" / f"{number}.jpg", number)
        rows.append((f"car_ims/{number}.jpg", label))
    savemat(root / "cars_annos.mat", annotations(rows, "relative_im_path"))
    return root


def cars_of_torchvision(root):
    folder = root / "stanford_cars"
    for part, labels in (("train", (1, 98, 99, 196)), ("test", (1, 98, 99, 196))):
        rows = []
        for label in labels:
            picture(folder / f"cars_{part}" / f"{label:05d}.jpg", label)
            rows.append((f"{label:05d}.jpg", label))
        file = "devkit/cars_train_annos.mat" if part == "train" else "cars_test_annos_withlabels.mat"
        (folder / file).parent.mkdir(exist_ok=True)
        savemat(folder / file, annotations(rows, "fname"))
    return folder


LAYOUTS = {"cub200": cub, "sop": sop, "inshop": inshop, "cars196": cars}


@pytest.fixture
def folders(tmp_path):
    (tmp_path / "data").mkdir()
    return Folders(tmp_path / "cache", tmp_path / "data")


def load(name, folders):
    return DATASETS.build(name + OPTIONS).load(folders)


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_tiny_data_set_in_the_official_layout(name, folders):
    LAYOUTS[name](folders.data)
    assert DATASETS.build(name + OPTIONS).missing(folders) is None
    split = load(name, folders)
    assert split.train.labels.tolist() == [0, 0, 1, 1]
    assert split.test.labels.tolist() == [0, 0, 1, 1]
    assert split.train.image_shape == (3, 32, 32)
    assert len({*split.train.ids.tolist(), *split.test.ids.tolist()}) == 8
    wanted = [True, False, True, False] if name == "inshop" else None
    assert (None if split.test.queries is None else split.test.queries.tolist()) == wanted
    again = load(name, folders)
    assert torch.equal(again.test.batch(slice(None)), split.test.batch(slice(None)))
    assert len(list(folders.cache.glob("*.pixels"))) == 1


def test_the_other_layout_of_cars(folders):
    cars_of_torchvision(folders.data)
    assert sorted(load("cars196", folders).test.labels.tolist()) == [0, 0, 1, 1]


def test_cars_in_kaggles_folders(folders):
    names = [f"Car {label:03d}" for label in range(100)]
    for part in ("train", "test"):
        for number, name in enumerate(names):
            picture(folders.data / "car_data" / "car_data" / part / name / f"{part}.jpg", number)
    split = load("cars196", folders)
    assert (split.train.num_classes, split.test.num_classes) == (98, 2)


@pytest.mark.parametrize("name", ["cub200", "sop"])
def test_an_archive_as_it_was_downloaded(name, folders):
    folder = LAYOUTS[name](folders.data)
    if name == "cub200":
        with tarfile.open(folders.data / "CUB_200_2011.tgz", "w:gz") as archive:
            archive.add(folder, folder.name)
    else:
        with zipfile.ZipFile(folders.data / "Stanford_Online_Products.zip", "w") as archive:
            for file in folder.rglob("*"):
                archive.write(file, file.relative_to(folders.data))
    shutil.rmtree(folder)
    assert DATASETS.build(name + OPTIONS).missing(folders) is None
    assert len(load(name, folders).test) == 4
    file = next(folders.data.iterdir())
    file.write_bytes(file.read_bytes()[:-200])
    with pytest.raises(BenchmarkError, match=r"damaged or was cut off|is it whole"):
        load(name, Folders(folders.cache / "another", folders.data))


def test_images_of_inshop_in_their_archive(folders):
    folder = inshop(folders.data)
    with zipfile.ZipFile(folder / "Img" / "img.zip", "w") as archive:
        for file in (folder / "Img").rglob("*.jpg"):
            archive.write(file, file.relative_to(folder / "Img"))
    shutil.rmtree(folder / "Img" / "img")
    assert len(load("inshop", folders).test) == 4


@pytest.mark.parametrize("name", LAYOUTS)
def test_nothing_there_and_too_little_there(name, folders):
    reason = DATASETS.build(name).missing(folders)
    assert str(folders.data) in reason and "Get it from http" in reason and "\n" not in reason
    LAYOUTS[name](folders.data)
    assert "of 2 classes where" in DATASETS.build(name).missing(folders)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda root: (root / "images/001.Bird/b1_0.jpg").unlink(), "b1_0.jpg"),
        (lambda root: (root / "images/101.Bird/b101_1.jpg").unlink(), "b101_1.jpg is missing"),
        (lambda root: (root / "images/101.Bird/b101_1.jpg").write_bytes(b"no image"), "b101_1.jpg"),
        (
            lambda root: (root / "images/101.Bird/b101_1.jpg").write_bytes(
                (root / "images/101.Bird/b101_1.jpg").read_bytes()[:-300]
            ),
            "b101_1.jpg cannot be (read|decoded)",
        ),
        (lambda root: (root / "images.txt").write_text("1"), "line 1: 2 columns belong there"),
        (lambda root: (root / "images.txt").unlink(), "images.txt cannot be read"),
        (lambda root: (root / "image_class_labels.txt").write_text("1 x"), "'x' is not a whole number"),
        (lambda root: (root / "image_class_labels.txt").write_text("1 1"), "no class of image 2"),
    ],
)
def test_damage_is_one_line(folders, damage, message):
    damage(cub(folders.data))
    with pytest.raises(BenchmarkError, match=message) as caught:
        load("cub200", folders)
    assert "\n" not in str(caught.value)
    assert not list(folders.cache.glob("*.pixels"))


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_official_counts_are_held_and_one_image_less_is_told(name):
    dataset = DATASETS.build(name)
    counts = dataset.official

    def entries(side, classes, images, first):
        return [Entry(f"{side}{i}", first + i * classes // images, side) for i in range(images)]

    full = entries("train", counts.train_classes, counts.train_images, 0)
    full += entries("test", counts.test_classes, counts.test_images, counts.train_classes)
    dataset.check(full)
    with pytest.raises(BenchmarkError, match=f"{counts.test_images - 1:,} test images"):
        dataset.check(full[:-1])
    with pytest.raises(BenchmarkError, match="listed twice"):
        dataset.check([*full, full[0]])


def test_blank_images_take_no_memory_whatever_their_number():
    split = DATASETS.build("sop").blank()
    assert (len(split.train), len(split.test), split.test.num_classes) == (59_551, 60_502, 11_316)
    kept, held = split.train.hold_out(0.15)
    assert len(kept) + len(held) == 59_551
    assert kept.images.stride(0) == 0
