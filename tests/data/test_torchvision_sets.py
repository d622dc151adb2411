"""The small data sets, from tiny_sets files in torchvision's layouts."""

import gzip
import hashlib
import io
import pickle
import tarfile
import zipfile

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image

from benchmark.core.errors import BenchmarkError, UsageError
from benchmark.data import DATASETS, Folders
from benchmark.data.base import Counts
from benchmark.data.cifar import Cifar10, Cifar100
from benchmark.data.fashion_mnist import FashionMnist
from benchmark.data.omniglot import Omniglot

EACH = 6
"""Images of each class in the tiny_sets stand-ins of CIFAR and Fashion-MNIST."""


def refused(dataset, folders, match, early=False):
    """Asserts that reading fails in one line, and whether `missing` says so beforehand."""
    with pytest.raises(BenchmarkError, match=match) as caught:
        dataset.read(folders)
    assert "\n" not in str(caught.value)
    assert dataset.missing(folders) == (str(caught.value) if early else None)
    assert not list(folders.cache.glob("*.safetensors"))


def same(left, right):
    return all(
        torch.equal(getattr(a, key), getattr(b, key))
        for a, b in ((left.train, right.train), (left.test, right.test))
        for key in ("images", "labels", "ids")
    )


@pytest.fixture(
    params=[("cifar10", Cifar10, "CIFAR10"), ("cifar100", Cifar100, "CIFAR100")], ids=lambda p: p[0]
)
def cifar(request, folders, monkeypatch):
    """A CIFAR of random pixels whose checksums torchvision takes for the true ones."""
    name, cls, source = request.param
    source = getattr(torchvision.datasets, source)
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.repeat(np.arange(cls.classes), EACH))
    pixels = rng.integers(0, 256, (len(labels), 3072), dtype=np.uint8)
    names = [entry[0] for entry in (*source.train_list, *source.test_list)]
    folder = folders.data / source.base_folder
    folder.mkdir()
    key = "labels" if name == "cifar10" else "fine_labels"
    lists = []
    for file, rows in zip(names, np.array_split(np.arange(len(labels)), len(names)), strict=True):
        content = pickle.dumps({"data": pixels[rows], key: labels[rows].tolist()})
        (folder / file).write_bytes(content)
        lists.append([file, hashlib.md5(content).hexdigest()])
    meta = pickle.dumps({source.meta["key"]: [str(label) for label in range(cls.classes)]})
    (folder / source.meta["filename"]).write_bytes(meta)
    monkeypatch.setattr(source, "train_list", lists[:-1])
    monkeypatch.setattr(source, "test_list", lists[-1:])
    monkeypatch.setattr(source, "meta", {**source.meta, "md5": hashlib.md5(meta).hexdigest()})
    monkeypatch.setattr(cls, "images_per_class", EACH)
    return name, folder, pixels.reshape(-1, 3, 32, 32), labels


def test_cifar_takes_the_first_images_of_each_class(cifar, folders):
    name, _, pixels, labels = cifar
    dataset = DATASETS.build(f"{name}[per_class=4]")
    assert dataset.missing(folders) is None
    split = dataset.load(folders)
    half = dataset.classes // 2
    for part, first in ((split.train, 0), (split.test, half)):
        wanted = sorted(
            row for label in range(first, first + half) for row in np.flatnonzero(labels == label)[:4]
        )
        assert part.ids.tolist() == wanted
        assert part.labels.tolist() == (labels[wanted] - first).tolist()
        assert part.images.dtype == torch.uint8
        assert np.array_equal(part.images.numpy(), pixels[wanted])
    everything = DATASETS.build(f"{name}[per_class=none]").load(folders)
    assert len(everything.train) + len(everything.test) == len(labels)


def test_cifar_is_read_once(cifar, folders, monkeypatch):
    dataset = DATASETS.build(f"{cifar[0]}[per_class=4]")
    first = dataset.load(folders)
    monkeypatch.setattr(type(dataset), "decoded", lambda *_: pytest.fail("read again"))
    assert same(dataset.load(folders), first)
    other = DATASETS.build(f"{cifar[0]}[per_class=3]")
    assert other.fingerprint(folders) != dataset.fingerprint(folders)


def test_cifar_from_the_archive(cifar, folders):
    name, folder, _, _ = cifar
    dataset = DATASETS.build(f"{name}[per_class=4]")
    unpacked = dataset.load(folders)
    with tarfile.open(folders.data / dataset.source().filename, "w:gz") as archive:
        archive.add(folder, folder.name)
    folder.rename(folder.with_name("elsewhere"))
    assert dataset.missing(folders) is None
    assert same(dataset.load(Folders(folders.cache / "other", folders.data)), unpacked)


class Bomb:
    """Fails the test that unpickles it."""

    def __reduce__(self):
        return pytest.fail, ("something unverified was unpickled",)


def test_cifar_unpickles_nothing_that_has_another_checksum(cifar, folders):
    name, folder, _, _ = cifar
    dataset = DATASETS.build(f"{name}[per_class=4]")
    for file in sorted(folder.iterdir()):
        content = file.read_bytes()
        for damaged in (pickle.dumps(Bomb()), content[:-9], b""):
            file.write_bytes(damaged)
            refused(dataset, folders, rf"{folder}/{file.name} is damaged .*checksum.*--download")
        file.unlink()
        refused(
            dataset, folders, rf"there is no {folder.name}/{file.name}\. Fetch it with --download", early=True
        )
        file.write_bytes(content)
    dataset.read(folders)


def test_cifar_of_other_numbers(cifar, folders, monkeypatch):
    dataset = DATASETS.build(f"{cifar[0]}[per_class=4]")
    monkeypatch.setattr(type(dataset), "images_per_class", EACH - 1)
    refused(dataset, folders, rf"instead of {EACH - 1} of each of {dataset.classes}")


def test_a_truncated_archive_of_cifar(cifar, folders):
    name, folder, _, _ = cifar
    dataset = DATASETS.build(f"{name}[per_class=4]")
    archive = folders.data / dataset.source().filename
    with tarfile.open(archive, "w:gz") as opened:
        opened.add(folder, folder.name)
    folder.rename(folder.with_name("elsewhere"))
    archive.write_bytes(archive.read_bytes()[: archive.stat().st_size // 2])
    refused(dataset, folders, rf"{archive}")


def write_idx(path, array):
    header = bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
    path.write_bytes(header + array.tobytes())


@pytest.fixture
def fashion(folders, monkeypatch):
    """A Fashion-MNIST of random pixels, four images of each class for training and two for testing."""
    monkeypatch.setattr(FashionMnist, "images_per_class", EACH)
    monkeypatch.setattr(FashionMnist, "subsets", {"train": 40, "t10k": 20})
    folder = folders.data / "FashionMNIST" / "raw"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (60, 28, 28), dtype=np.uint8)
    labels = np.concatenate([rng.permutation(np.arange(count) % 10) for count in (40, 20)]).astype(np.uint8)
    for part, rows in (("train", slice(40)), ("t10k", slice(40, 60))):
        write_idx(folder / f"{part}-images-idx3-ubyte", pixels[rows])
        write_idx(folder / f"{part}-labels-idx1-ubyte", labels[rows])
    return folder, pixels, labels


FASHION = "fashion_mnist[per_class=5]"


def test_fashion_mnist_is_what_torchvision_reads(fashion, folders):
    _, pixels, labels = fashion
    parts = [torchvision.datasets.FashionMNIST(folders.data, train=train) for train in (True, False)]
    assert np.array_equal(np.concatenate([part.data for part in parts]), pixels)
    split = DATASETS.build(FASHION).load(folders)
    for part, first in ((split.train, 0), (split.test, 5)):
        assert part.labels.bincount().tolist() == [5] * 5
        assert np.array_equal(part.images[:, 0].numpy(), pixels[part.ids])
        assert np.array_equal(part.labels.numpy() + first, labels[part.ids])


def test_fashion_mnist_from_the_archives(fashion, folders):
    dataset = DATASETS.build(FASHION)
    before, key = dataset.load(folders), dataset.fingerprint(folders)
    for file in list(fashion[0].iterdir()):
        file.with_name(f"{file.name}.gz").write_bytes(gzip.compress(file.read_bytes()))
        file.unlink()
    assert dataset.missing(folders) is None
    assert dataset.fingerprint(folders) == key
    assert same(dataset.load(Folders(folders.cache / "other", folders.data)), before)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", ["train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"])
def test_fashion_mnist_damage(fashion, folders, name, packed):
    dataset, file = DATASETS.build(FASHION), fashion[0] / name
    content = file.read_bytes()
    archive = file.with_name(f"{name}.gz")
    if packed:
        archive.write_bytes(gzip.compress(content)[:-20])
        file.unlink()
        refused(dataset, folders, rf"{name}\.gz is damaged .*--download")
        archive.write_bytes(b"<html>not here</html>")
        refused(dataset, folders, rf"{name}\.gz is damaged .*gzip")
        archive.write_bytes(gzip.compress(content[:-1]))
        refused(dataset, folders, rf"{name}\.gz is damaged .*does not hold")
        archive.unlink()
        refused(dataset, folders, rf"there is no FashionMNIST/raw/{name} or .*\.gz", early=True)
    else:
        file.write_bytes(content[:-1])
        refused(dataset, folders, rf"{name} is damaged .*bytes instead of", early=True)
        file.write_bytes(b"\0\0\x09" + content[3:])
        refused(dataset, folders, rf"{name} is damaged .*does not hold")


def test_fashion_mnist_of_other_labels(fashion, folders):
    folder = fashion[0]
    write_idx(folder / "t10k-labels-idx1-ubyte", np.zeros(20, np.uint8))
    refused(DATASETS.build(FASHION), folders, "instead of 6 of each of 10")
    write_idx(folder / "t10k-labels-idx1-ubyte", np.full(20, 11, np.uint8))
    refused(DATASETS.build(FASHION), folders, "there is no class 11")


DRAWINGS = 3
CHARACTERS = {"images_background": {"Alpha": 2, "Beta_(old)": 2}, "images_evaluation": {"Gamma": 3}}


def drawing(row):
    """Black on white, 1 bit, a bar whose place and length tell which one it is."""
    image = Image.new("1", (105, 105), 1)
    image.paste(0, (5 * row, 30, 5 * row + 20, 60 + row))
    return image


def drawing_bytes(row):
    buffer = io.BytesIO()
    drawing(row).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def omniglot(folders, monkeypatch):
    """An Omniglot of 4 and 3 characters, written in no order."""
    monkeypatch.setattr(Omniglot, "subsets", {"images_background": 4, "images_evaluation": 3})
    monkeypatch.setattr(Omniglot, "classes", 7)
    monkeypatch.setattr(Omniglot, "images_per_class", DRAWINGS)
    files = {}
    for part, alphabets in CHARACTERS.items():
        for alphabet, count in alphabets.items():
            for character in range(1, count + 1):
                for number in range(1, DRAWINGS + 1):
                    name = f"{part}/{alphabet}/character{character:02}/{character:04}_{number:02}.png"
                    files[folders.data / "omniglot-py" / name] = len(files)
    for file, row in reversed(files.items()):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(drawing_bytes(row))
    return list(files)


def test_omniglot(omniglot, folders):
    dataset = DATASETS.build("omniglot[size=35]")
    split = dataset.load(folders)
    assert split.train.labels.tolist() == np.repeat(range(4), DRAWINGS).tolist()
    assert split.test.labels.tolist() == np.repeat(range(3), DRAWINGS).tolist()
    assert torch.cat([split.train.ids, split.test.ids]).tolist() == list(range(21))
    images = torch.cat([split.train.images, split.test.images])
    assert images.shape == (21, 1, 35, 35) and images.dtype == torch.uint8
    for row, image in enumerate(images):
        # White ink, and as much of it as was drawn: a third of the size is a mean over 3 x 3 pixels.
        ink = 1 - np.asarray(drawing(row)).astype(float)
        mean = ink.reshape(35, 3, 35, 3).mean((1, 3))
        assert np.abs(image[0].numpy() / 255 - mean).max() < 0.25
        assert image[0, 0, 34] == 0


def test_omniglot_takes_the_first_drawings(omniglot, folders):
    split = DATASETS.build("omniglot[per_class=2]").load(folders)
    assert split.test.ids.tolist() == [12, 13, 15, 16, 18, 19]


def test_omniglot_from_the_archives(omniglot, folders):
    dataset = DATASETS.build("omniglot")
    before, key = dataset.load(folders), dataset.fingerprint(folders)
    other = Folders(folders.cache / "other", folders.data / "packed")
    (other.data / "omniglot-py").mkdir(parents=True)
    root = folders.data / "omniglot-py"
    for part in CHARACTERS:
        with zipfile.ZipFile(other.data / "omniglot-py" / f"{part}.zip", "w") as archive:
            for file in reversed(omniglot):
                if file.relative_to(root).parts[0] == part:
                    archive.write(file, file.relative_to(root))
    assert dataset.missing(other) is None
    assert dataset.fingerprint(other) == key
    assert same(dataset.load(other), before)
    path = other.data / "omniglot-py" / "images_evaluation.zip"
    path.write_bytes(path.read_bytes()[:-30])
    refused(dataset, Folders(folders.cache / "third", other.data), rf"{path}")


def test_omniglot_damage(omniglot, folders):
    dataset = DATASETS.build("omniglot")
    file = omniglot[4]
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    refused(dataset, folders, rf"{file} cannot be decoded")
    file.unlink()
    refused(DATASETS.build("omniglot[size=20]"), folders, r"character02 has 2 drawings instead of 3")
    for left in file.parent.iterdir():
        left.unlink()
    file.parent.rmdir()
    refused(dataset, folders, "images_background is damaged .*3 characters instead of 4", early=True)


def test_how_to_get_them(folders):
    for name in ("omniglot", "fashion_mnist", "cifar10", "cifar100"):
        reason = DATASETS.build(name).missing(folders)
        assert str(folders.data) in reason and "--download" in reason and " MB)" in reason
        assert "https://" in reason and "--data-root" in reason and "\n" not in reason


@pytest.mark.parametrize(
    ("spec", "counts", "shape"),
    [
        ("omniglot", (964, 19_280, 659, 13_180), (1, 28, 28)),
        ("omniglot[per_class=5,size=32]", (964, 4_820, 659, 3_295), (1, 32, 32)),
        ("fashion_mnist", (5, 1_000, 5, 1_000), (1, 28, 28)),
        ("cifar10", (5, 1_000, 5, 1_000), (3, 32, 32)),
        ("cifar100", (50, 2_000, 50, 2_000), (3, 32, 32)),
        ("cifar100[per_class=none]", (50, 30_000, 50, 30_000), (3, 32, 32)),
    ],
)
def test_blank_images_in_the_official_numbers(folders, spec, counts, shape):
    dataset = DATASETS.build(spec)
    assert dataset.official == Counts(*counts)
    split = dataset.load(folders._replace(blank=True))
    assert dataset.identity(folders._replace(blank=True)) == "blank"
    for part, classes, images in ((split.train, *counts[:2]), (split.test, *counts[2:])):
        assert (part.num_classes, len(part), part.image_shape) == (classes, images, shape)


def test_more_than_there_is():
    with pytest.raises(UsageError, match="there are 600 images of each class"):
        DATASETS.build("cifar100[per_class=601]")
    assert DATASETS.build("cifar10[per_class=601]").per_class == 601


def test_what_is_fetched_is_torchvisions():
    remotes = {
        name: DATASETS.build(name).remotes() for name in ("omniglot", "fashion_mnist", "cifar10", "cifar100")
    }
    assert [len(remote) for remote in remotes.values()] == [2, 4, 1, 1]
    for remote in (remote for several in remotes.values() for remote in several):
        assert remote.url.startswith("http") and remote.url.endswith(remote.path.rsplit("/")[-1])
        assert len(remote.md5) == 32
