"""Tiny data sets of photographs in the official layouts, as methods of the fixture `tiny_sets`."""

import shutil
import tarfile
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from benchmark.core.errors import BenchmarkError
from benchmark.data import DATASETS, Folders

from .image_folders import make_folder

OPTIONS = "[partial=true,size=32,resize=40]"


def build(name):
    return DATASETS.build(name + OPTIONS)


def load(name, folders):
    return build(name).load(folders)


def refused(name, folders, match, act="load"):
    """Asserts that a data set is refused in one line, and returns the line."""
    with pytest.raises(BenchmarkError, match=match) as caught:
        getattr(build(name), act)(folders)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def missing(name, folders):
    """The line that says what is missing and where to get it; None where nothing is missing."""
    reason = build(name).missing(folders)
    about = DATASETS.get(name).about
    assert reason is None or (f"{about.source} ({about.size})" in reason and "\n" not in reason), reason
    return reason


def picture(file, number, mode="RGB"):
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (60, 48), (number * 7 % 256, 100, 50)).convert(mode).save(file)


def cub(root, labels=(1, 2, 101, 102)):
    folder = root / "CUB_200_2011"
    names = [f"{label:03d}.Bird/b{label}_{i}.jpg" for label in labels for i in range(2)]
    for number, name in enumerate(names):
        picture(folder / "images" / name, number)
    lines = [f"{number} {name}" for number, name in enumerate(names, 1)]
    (folder / "images.txt").write_text("\n".join(lines))
    classes = [f"{number} {int(name[:3])}" for number, name in enumerate(names, 1)]
    (folder / "image_class_labels.txt").write_text("\n".join(classes))
    return folder


def sop(root, labels=(1, 2, 3, 4)):
    folder = root / "Stanford_Online_Products"
    number = 0
    for side, classes in (("train", labels[:2]), ("test", labels[2:])):
        lines = ["image_id class_id super_class_id path"]
        for label in classes:
            for i in range(2):
                number += 1
                picture(folder / "chair_final" / f"{label}_{i}.JPG", number)
                lines.append(f"{number} {label} 1 chair_final/{label}_{i}.JPG")
        (folder / f"Ebay_{side}.txt").write_text("\n".join(lines))
    return folder


def inshop(root, labels=(1, 2, 3, 7)):
    folder = root / "In-shop Clothes Retrieval Benchmark"
    rows = []
    for label, sides in zip(
        labels, ("train train", "train train", "query gallery", "query gallery"), strict=True
    ):
        for i, side in enumerate(sides.split()):
            name = f"img/WOMEN/Dresses/id_{label:08d}/0{i}_front.jpg"
            picture(folder / "Img" / name, 10 * label + i)
            rows.append(f"{name}   id_{label:08d}   {side}")
    (folder / "Eval").mkdir()
    head = f"{len(rows)}\nimage_name item_id evaluation_status\n"
    (folder / "Eval" / "list_eval_partition.txt").write_text(head + "\n".join(rows))
    return folder


def annotations(file, rows, name):
    file.parent.mkdir(parents=True, exist_ok=True)
    savemat(file, {"annotations": np.array(rows, dtype=[(name, object), ("class", object)])})


def cars(root, labels=(1, 98, 99, 196)):
    rows = []
    for number, label in enumerate(label for label in labels for _ in range(2)):
        picture(root / "car_ims" / f"{number}.jpg", number)
        rows.append((f"car_ims/{number}.jpg", label))
    annotations(root / "cars_annos.mat", rows, "relative_im_path")
    return root / "car_ims"


def cars_of_torchvision(root):
    folder = root / "stanford_cars"
    for part in ("train", "test"):
        rows = []
        for label in (1, 98, 99, 196):
            picture(folder / f"cars_{part}" / f"{label:05d}.jpg", label)
            rows.append((f"{label:05d}.jpg", label))
        file = "devkit/cars_train_annos.mat" if part == "train" else "cars_test_annos_withlabels.mat"
        annotations(folder / file, rows, "fname")
    return folder


def cars_of_kaggle(root, names=None):
    """The folder car_data/car_data with an image of each of 100 classes in train and in test."""
    names = names or [f"Car {label:03d}" for label in range(100)]
    for part in ("train", "test"):
        for number, name in enumerate(names):
            picture(root / "car_data" / "car_data" / part / name / f"{number:05d}.jpg", number)
    return root / "car_data"


def pack(archive, *things, below=None, keep=False):
    """Packs files and folders, named as seen from `below`, and deletes them."""
    below = below or things[0].parent
    archive.parent.mkdir(parents=True, exist_ok=True)
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive, "w") as opened:
            for thing in things:
                for file in [thing] if thing.is_file() else sorted(thing.rglob("*")):
                    opened.write(file, file.relative_to(below))
    else:
        with tarfile.open(archive, "w:gz") as opened:
            for thing in things:
                opened.add(thing, thing.relative_to(below))
    for thing in [] if keep else things:
        shutil.rmtree(thing) if thing.is_dir() else thing.unlink()
    return archive


@pytest.fixture(scope="session")
def tiny_sets():
    """What writes tiny_sets data sets of photographs to disk, reads them, and holds that they are refused."""
    return SimpleNamespace(
        **{act.__name__: act for act in (build, load, refused, missing, picture, annotations, pack)},
        **{act.__name__: act for act in (cub, sop, inshop, cars, cars_of_torchvision, cars_of_kaggle)},
        write={"cub200": cub, "sop": sop, "inshop": inshop, "cars196": cars},
    )


@pytest.fixture
def folders(tmp_path):
    """An empty data folder, and a cache that does not exist yet."""
    (tmp_path / "data").mkdir()
    return Folders(tmp_path / "cache", tmp_path / "data")


@pytest.fixture
def root(tmp_path):
    """A folder of images, with a folder for each class."""
    return make_folder(tmp_path / "images")


@pytest.fixture
def cache(tmp_path):
    """Where data sets are kept, which does not exist yet."""
    return tmp_path / "cache"
