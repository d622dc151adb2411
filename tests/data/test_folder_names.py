"""How a folder of images is named, and what names its files may have."""

import os
import re
import unicodedata

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from benchmark.core.errors import UsageError
from benchmark.data import DATASETS
from benchmark.data.folder import NamedFolder

from .image_folders import (
    NOWHERE,
    SIZE,
    at,
    build,
    classes_of,
    make_class,
    make_folder,
    one_line,
    refused,
)


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
