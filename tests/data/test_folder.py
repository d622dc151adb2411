"""A folder with a folder of images for each class."""

import os
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from benchmark.core.errors import BenchmarkError, UsageError
from benchmark.core.seeding import derive_seed
from benchmark.data import DATASETS, image_files
from benchmark.data.folder import ImageFolder

from .image_folders import (
    FIXED,
    NAMES,
    NOWHERE,
    SIZE,
    at,
    build,
    classes_of,
    colour_of,
    colours,
    make_class,
    make_folder,
    one_line,
    refused,
)


def test_reads_every_image_once(root, cache):
    dataset = build(root)
    assert dataset.missing(NOWHERE) is None
    split = dataset.load(at(cache))
    both = [*colours(split.train), *colours(split.test)]
    assert sorted(both) == sorted(colour_of(name, index) for name in NAMES for index in range(3))
    assert sorted([*classes_of(split.train), *classes_of(split.test)]) == NAMES
    assert split.train.num_classes == split.test.num_classes == 4
    assert split.train.images.dtype == torch.uint8 and split.train.image_shape == (3, SIZE, SIZE)
    ids = torch.cat([split.train.ids, split.test.ids])
    assert ids.dtype == torch.int64 and len(ids.unique()) == 24


def test_split_depends_on_names_and_seed_alone(root, cache, tmp_path):
    first = build(root).load(at(cache))
    elsewhere = make_folder(tmp_path / "copy", reversed(NAMES))
    again = build(elsewhere).load(at(tmp_path / "other-cache"))
    assert classes_of(again.train) == classes_of(first.train)
    assert torch.equal(again.train.ids, first.train.ids)
    # Held fixed: a change would alter every score ever computed from a folder.
    assert classes_of(first.train) == FIXED
    assert classes_of(build(root, seed=1).load(at(cache)).train) != FIXED


def test_labels_are_not_in_order_of_name(root, cache):
    train = classes_of(build(root, train=0.75).load(at(cache)).train)
    assert len(train) == 6 and train != sorted(train)


def test_seeds_share_the_decoded_images(root, cache, monkeypatch):
    build(root).load(at(cache))
    monkeypatch.setattr(ImageFolder, "_decode", lambda _: pytest.fail("decoded, not read from the cache"))
    build(root, seed=1).load(at(cache))


def test_one_list(root, cache, tmp_path):
    file = tmp_path / "test.txt"
    file.write_text("class3\r\n\r\nclass1\nclass6\n")
    split = build(root, test_classes=file).load(at(cache))
    assert sorted(classes_of(split.test)) == ["class1", "class3", "class6"]
    assert sorted(classes_of(split.train)) == ["class0", "class2", "class4", "class5", "class7"]


def test_two_lists_leave_classes_out(root, cache, tmp_path):
    make_class(root, "lonely", count=1)
    (tmp_path / "train.txt").write_text("class0\nclass1\n")
    (tmp_path / "test.txt").write_text("class7\nclass5\n")
    lists = {"train_classes": tmp_path / "train.txt", "test_classes": tmp_path / "test.txt"}
    split = build(root, **lists).load(at(cache))
    assert sorted(classes_of(split.train)) == ["class0", "class1"]
    assert sorted(classes_of(split.test)) == ["class5", "class7"]


@pytest.mark.parametrize(
    ("train", "test", "match"),
    [
        ("class0\nclass1\n", "class1\nclass2\n", "'class1' is in .*train.txt and .*test.txt"),
        ("class0\nclas1\n", "class2\nclass3\n", "'clas1'. Did you mean 'class1'"),
        ("\n", "class2\nclass3\n", "train.txt is empty"),
        ("class0\n", "class2\nclass3\n", "Of the classes in .*, 1 would be for training and 2 for testing"),
        (None, "class2\nclass3\n", "train.txt cannot be read"),
    ],
)
def test_bad_lists(root, tmp_path, train, test, match):
    if train is not None:
        (tmp_path / "train.txt").write_text(train)
    (tmp_path / "test.txt").write_text(test)
    lists = {"train_classes": tmp_path / "train.txt", "test_classes": tmp_path / "test.txt"}
    refused(build(root, **lists), match, UsageError)


def test_missing_root(tmp_path):
    refused(DATASETS.build(f"folder:{tmp_path}/nowhere"), "There is no folder .*nowhere")
    (tmp_path / "images.zip").touch()
    refused(DATASETS.build(f"folder:{tmp_path}/images.zip"), "not a folder; unpack it")
    (tmp_path / "flat").mkdir()
    Image.new("L", (9, 9)).save(tmp_path / "flat" / "0.png")
    refused(DATASETS.build(f"folder:{tmp_path}/flat"), "contains no folders")


def test_without_a_path():
    assert "folder:PATH" in DATASETS.build("folder").missing(NOWHERE)
    for name in ("folder:", "folders"):
        with pytest.raises(UsageError, match="Did you mean 'folder'"):
            DATASETS.build(name)


def test_too_few_classes(tmp_path):
    refused(build(make_folder(tmp_path, NAMES[:3])), "2 would be for training and 1 for testing")


@pytest.mark.parametrize(("count", "match"), [(0, "thin has no image .subfolders"), (1, "thin has 1 image;")])
def test_too_few_images(root, count, match):
    make_class(root, "thin", count)
    (root / "thin" / "notes.txt").touch()
    refused(build(root), match)


def test_some_images_of_each_class(root, cache):
    for name in NAMES:
        make_class(root, name, count=9)

    def taken(count):
        split = build(root, per_class=count).read(at(cache))
        assert split.train.labels.bincount().tolist() == [min(count, 9)] * 4
        return set(split.train.ids.tolist())

    assert taken(3) < taken(5) < taken(9) == taken(20)
    # Not the first ones: their order may mean something, as where files are numbered by the place they show.
    lowest = {derive_seed(name, f"{i}.png") for name in FIXED for i in range(3)}
    assert taken(3) != lowest


def test_ignored_entries(root, cache):
    for name in (".ipynb_checkpoints", "__MACOSX"):
        make_class(root, name)
    (root / "labels.csv").touch()
    (root / "class0" / "._0.png").write_bytes(b"not an image")
    (root / "class0" / "Thumbs.db").touch()
    make_class(root / "class0", "nested")
    split = build(root).load(at(cache))
    assert len(split.train) + len(split.test) == 24


@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda _: b"", lambda _: b"GIF89a"])
def test_damaged_image(root, cache, damage):
    file = root / "class2" / "1.png"
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(file)
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(BenchmarkError, match=r"class2/1\.png cannot be decoded") as caught:
        build(root).load(at(cache))
    one_line(caught.value)
    assert not list(cache.glob("*"))


def test_size_none(root, cache):
    assert build(root, size="none").load(at(cache)).test.image_shape == (3, SIZE, SIZE)
    make_class(root, "wide", size=(12, 9))
    with pytest.raises(UsageError, match=r"wide/0.png is 12x9, .*class0/0.png is 10x10: give a size"):
        build(root, size="none").load(at(cache))


def test_grey(root, cache):
    image_set = build(root, grey="true").load(at(cache)).train
    assert image_set.image_shape == (1, SIZE, SIZE)


def test_fingerprint_follows_the_contents(root, tmp_path):
    before = build(root).fingerprint(NOWHERE)
    copy = shutil.copytree(root, tmp_path / "copy", copy_function=shutil.copy)  # times are not kept
    os.utime(copy / "class0" / "0.png", (1, 1))
    assert build(copy).fingerprint(NOWHERE) == before
    for change in ({"seed": 3}, {"grey": "true"}, {"size": 9}, {"train": 0.25}):
        assert build(root, **change).fingerprint(NOWHERE) != before
    assert build(root, linf=0.1, validation="true").fingerprint(NOWHERE) == before
    Image.new("RGB", (SIZE, SIZE)).save(copy / "class0" / "0.png")
    assert build(copy).fingerprint(NOWHERE) != before
    (root / "class0" / "0.png").rename(root / "class0" / "9.png")
    assert build(root).fingerprint(NOWHERE) != before


def test_fingerprint_of_large_folders_follows_times(root, monkeypatch):
    monkeypatch.setattr(image_files, "HASHED_BYTES", 0)
    before = build(root).fingerprint(NOWHERE)
    assert build(root).fingerprint(NOWHERE) == before
    os.utime(root / "class0" / "0.png", (1, 1))
    assert build(root).fingerprint(NOWHERE) != before


def test_headline_budgets(root):
    assert build(root).headline_eps == {}
    assert build(root, linf="8/255", l2=1.5).headline_eps == {"linf": pytest.approx(8 / 255), "l2": 1.5}
    with pytest.raises(UsageError, match="linf"):
        build(root, linf=0)


def test_all_classes_with_too_few_images_are_counted(root):
    for name in ("thin", "thinner", "thinnest"):
        make_class(root, name, 1)
    refused(
        build(root), r"thin has 1 image \(3 of \d+ class folders have one or none\); a class needs 2 or more"
    )
