import os
import re
import shutil
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from benchmark.core.errors import BenchmarkError, UsageError
from benchmark.core.seeding import derive_seed
from benchmark.data import DATASETS, Folders, image_files
from benchmark.data.folder import ImageFolder, NamedFolder

NOWHERE = Folders(Path("nowhere"), Path("nowhere"))


def at(cache):
    return Folders(cache, cache / "data")


NAMES = [f"class{number}" for number in range(8)]
SIZE = 10
FIXED = ["class3", "class1", "class7", "class6"]
"""The training classes of seed 0."""


def colour_of(name, index):
    """A colour that tells class and image apart: names are hashed by their letters."""
    return (sum(map(ord, name)) * 37 % 256, 40 * index, 128)


def make_class(root, name, count=3, suffix=".png", size=(SIZE, SIZE)):
    folder = root / name
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        Image.new("RGB", size, colour_of(name, index)).save(folder / f"{index}{suffix}")
    return folder


def make_folder(root, names=NAMES):
    for name in names:
        make_class(root, name)
    return root


def build(root, **parameters):
    inner = ",".join(f"{key}={value}" for key, value in {"size": SIZE, **parameters}.items())
    return DATASETS.build(f"folder[path={root},{inner}]")


def colours(image_set):
    """Per image the colour of its first pixel."""
    return [tuple(image[:, 0, 0].tolist()) for image in image_set.images]


def classes_of(image_set, names=NAMES):
    """The class names of a set in order of label, found by their colours."""
    by_colour = {colour_of(name, index): name for name in names for index in range(3)}
    found = {}
    for colour, label in zip(colours(image_set), image_set.labels.tolist(), strict=True):
        assert found.setdefault(label, by_colour[colour]) == by_colour[colour]
    return [found[label] for label in range(len(found))]


@pytest.fixture
def root(tmp_path):
    return make_folder(tmp_path / "images")


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


def one_line(error):
    assert "\n" not in str(error)
    return str(error)


def refused(dataset, match, kind=BenchmarkError):
    """Asserts that reading fails, and that `missing` says so beforehand, with the same reason."""
    with pytest.raises(kind, match=match) as caught:
        dataset.read(at(dataset.root / "no-cache"))
    assert dataset.missing(NOWHERE) == one_line(caught.value)


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


def test_short_and_long_form_are_the_same(root, cache):
    short = DATASETS.build(f"folder:{root}/[size={SIZE},linf=8/255]")
    assert short.spec == f"folder:{root}[linf=8/255,size={SIZE}]"
    assert DATASETS.build(short.spec) == DATASETS.build(f"folder:{root}[size={SIZE},linf=8/255]")
    left, right = short.load(at(cache)).test, build(root).load(at(cache)).test
    assert torch.equal(left.images, right.images) and torch.equal(left.ids, right.ids)
    with pytest.raises(UsageError, match=r"parameter of folder:.* 'path'"):
        DATASETS.build(f"folder:{root}[path=elsewhere]")


def test_home_and_relative_paths(root, monkeypatch):
    monkeypatch.setenv("HOME", str(root.parent))
    monkeypatch.chdir(root.parent)
    assert DATASETS.build("folder:~/images").missing(NOWHERE) is None
    assert DATASETS.build("folder:images").missing(NOWHERE) is None


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


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".JPEG", ".bmp", ".WebP", ".PNG"])
def test_every_format(root, suffix):
    folder = make_class(root, "more", 2, suffix)
    assert len(image_files.image_files(folder)) == 2
    image = image_files.decode(folder / f"1{suffix}", SIZE, grey=False)
    assert np.abs(image[:, 0, 0].astype(int) - colour_of("more", 1)).max() <= 8


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


def mode_image(mode):
    """An image whose left half is dark and whose right half is light, 200 of 255, in a mode."""
    grey = Image.new("L", (SIZE, SIZE), 0)
    grey.paste(200, (SIZE // 2, 0, SIZE, SIZE))
    if mode == "I;16":
        return Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    if mode == "1":
        return grey.point(lambda value: 255 * (value > 0)).convert("1")
    return grey.convert("RGB").convert(mode)


@pytest.mark.parametrize("grey", [True, False])
@pytest.mark.parametrize(
    ("mode", "suffix"), [("1", "png"), ("L", "png"), ("P", "png"), ("I;16", "png"), ("CMYK", "jpg")]
)
def test_modes(tmp_path, mode, suffix, grey):
    mode_image(mode).save(tmp_path / f"0.{suffix}")
    image = image_files.decode(tmp_path / f"0.{suffix}", None, grey)
    assert image.shape == (1 if grey else 3, SIZE, SIZE) and image.dtype == np.uint8
    light = 255 if mode == "1" else 200
    assert np.abs(image[:, :, 0].astype(int)).max() <= 8
    assert np.abs(image[:, :, -1].astype(int) - light).max() <= 8


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_is_laid_over_white(tmp_path, mode):
    image = Image.new("LA" if mode == "LA" else "RGBA", (2, 1))
    image.putpixel((1, 0), (0, 255) if mode == "LA" else (0, 0, 0, 255))
    if mode == "P":
        image = image.quantize(4)
    image.save(tmp_path / "0.png")
    assert image_files.decode(tmp_path / "0.png", None, grey=True).tolist() == [[[255, 0]]]


def test_turned_photographs_are_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise
    Image.new("L", (20, 12)).save(tmp_path / "0.jpg", exif=exif)
    assert image_files.decode(tmp_path / "0.jpg", None, grey=True).shape == (1, 20, 12)


def test_scales_the_centre_square(tmp_path):
    pixels = np.zeros((16, 48), dtype=np.uint8)
    pixels[:, 16:32] = np.indices((16, 16)).sum(0) % 2 * 255  # averages to grey if and only if antialiased
    pixels[:, :16] = 255
    Image.fromarray(pixels).save(tmp_path / "0.png")
    image = image_files.decode(tmp_path / "0.png", 4, grey=True)
    assert image.shape == (1, 4, 4) and np.abs(image.astype(int) - 127).max() < 30


def test_size_none(root, cache):
    assert build(root, size="none").load(at(cache)).test.image_shape == (3, SIZE, SIZE)
    make_class(root, "wide", size=(12, 9))
    with pytest.raises(UsageError, match=r"wide/0.png is 12x9, .*class0/0.png is 10x10: give a size"):
        build(root, size="none").load(at(cache))


def test_grey(root, cache):
    image_set = build(root, grey="true").load(at(cache)).train
    assert image_set.image_shape == (1, SIZE, SIZE)


def test_names_beyond_ascii(tmp_path, cache):
    names = ["été", "文字", "буква", "ø"]
    root = make_folder(tmp_path / "bücher", names)
    split = DATASETS.build(f"folder:{root}[size={SIZE}]").load(at(cache))
    assert sorted(classes_of(split.train, names) + classes_of(split.test, names)) == sorted(names)
    # A file system that decomposes names gives the same data set.
    (root / "été").rename(root / unicodedata.normalize("NFD", "été"))
    again = DATASETS.build(f"folder:{root}[size={SIZE}]")
    assert again.fingerprint(NOWHERE) == DATASETS.build(f"folder:{root}[size={SIZE}]").fingerprint(NOWHERE)
    assert torch.equal(again.load(at(cache)).train.ids, split.train.ids)
    make_class(root, "été")
    refused(DATASETS.build(f"folder:{root}"), "Two folders .* have the name 'été'")


def test_images_whose_names_differ_in_their_unicode_form_only(root):
    composed, decomposed = (unicodedata.normalize(form, "\u00e9 0.png") for form in ("NFC", "NFD"))
    for name in (composed, decomposed):
        Image.new("RGB", (SIZE, SIZE)).save(root / "class0" / name)
    if len({path.name for path in (root / "class0").iterdir()} & {composed, decomposed}) < 2:
        pytest.skip("this file system knows one form only")
    refused(build(root), f"Two images in .*class0 have the name '{composed}'; rename one")


def test_a_path_with_a_comma_a_space_and_a_bracket(tmp_path, cache):
    root = make_folder(tmp_path / "my [birds], 2")
    dataset = DATASETS.build(f'folder:"{root}/"[size={SIZE}]')
    assert dataset.spec == f'"folder:{root}"[size={SIZE}]'
    assert DATASETS.build(dataset.spec) == DATASETS.build(f'"folder:{root}"[size={SIZE}]')
    assert dataset.short_name == f"my-birds-2[size={SIZE}]"
    assert len(dataset.load(at(cache)).test) == 12
    assert DATASETS.build(build(f'"{root}"').spec).fingerprint(NOWHERE) == dataset.fingerprint(NOWHERE)


def test_a_home_of_nobody_is_no_folder():
    assert "There is no folder ~nobody-at-all/x" in DATASETS.build("folder:~nobody-at-all/x").missing(NOWHERE)


def test_names_that_are_not_text(root):
    try:
        os.mkdir(os.fsencode(root) + b"/\xff")  # noqa: PTH102 (a path of bytes)
    except OSError:
        pytest.skip("this file system allows no such name")
    refused(build(root), "is not UTF-8; rename it")


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


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ("folder:/home/me/birds", "birds"),
        ("folder:/home/me/birds/[linf=8/255,size=32]", "birds[linf=8/255,size=32]"),
        ("folder[path=/home/me/my birds (2),grey=true]", "my-birds-2[grey=true]"),
        ("folder[path=/home/me/birds,train_classes=/home/me/lists/a.txt,seed=3]", "birds[seed=3]"),
        ("folder:/home/me/birds[name=finches,size=32]", "finches[size=32]"),
        ("folder[path=/home/me/birds,name=102.v1+x]", "102.v1+x"),
        ("folder[path=/home/me/none]", "folder-none"),
        ("folder:/", "folder"),
        ("folder", "folder"),
    ],
)
def test_the_short_name_holds_no_path(spec, name):
    dataset = DATASETS.build(spec)
    assert dataset.short_name == name
    assert DATASETS.build(dataset.spec).short_name == name


def test_the_short_name_of_the_current_folder_is_its_own(root, monkeypatch):
    monkeypatch.chdir(root / "class0")
    assert DATASETS.build("folder:.").short_name == "class0"
    assert DATASETS.build("folder:..").short_name == "images"


@given(
    st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1).filter(
        lambda name: name not in (".", "..")
    )
)
def test_the_name_of_any_folder_gives_a_name_that_a_spec_can_hold(name):
    short = NamedFolder(path=f"/home/me/{name}").short_name
    assert "/" not in short
    labelled = DATASETS.build(f"folder[path=elsewhere,name={short}]")
    assert labelled.short_name == labelled.label == short
    assert DATASETS.build(labelled.spec) == labelled


def test_seeds_and_fingerprints_do_not_depend_on_the_name(root):
    plain, named = build(root, linf="8/255"), build(root, linf="8/255", name="birds")
    assert plain.portable == named.portable == f"folder[linf=8/255,size={SIZE}]"
    assert plain.fingerprint(NOWHERE) == named.fingerprint(NOWHERE)
    assert named.spec == f"folder[linf=8/255,name=birds,path={root},size={SIZE}]"
    assert named == type(plain)(label="birds", path=root, size=SIZE, linf=8 / 255)


@pytest.mark.parametrize("name", ["my birds", "a/b", "$x", "all", "-x"])
def test_a_name_that_is_no_label_is_refused_in_one_line(name):
    for spec in (f"folder:birds[name={name}]", f"folder[path=birds,name={name}]"):
        with pytest.raises(
            UsageError, match=rf"name='{re.escape(name)}': (must begin with|has another)"
        ) as caught:
            DATASETS.build(spec)
        one_line(caught.value)
