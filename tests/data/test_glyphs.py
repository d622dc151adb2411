from pathlib import Path

import matplotlib
import pytest
import torch
from matplotlib.ft2font import FT2Font

from benchmark.core.errors import BenchmarkError, UsageError
from benchmark.data import DATASETS, Folders
from benchmark.data.glyphs import FACES, MAX_CLASSES, MAX_PER_CLASS, Glyphs, face_path, read_classes

NOWHERE = Folders(Path("nowhere"), Path("nowhere"))


def at(cache):
    return Folders(cache, cache / "data")


SMALL = {"classes": 12, "per_class": 3}


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def split(cache):
    return Glyphs(**SMALL).load(at(cache))


def same(left, right):
    return all(
        torch.equal(getattr(getattr(left, part), key), getattr(getattr(right, part), key))
        for part in ("train", "test")
        for key in ("images", "labels", "ids")
    )


def letters_of(image_set):
    return (image_set.ids // MAX_PER_CLASS).unique().tolist()


def refuse_to_draw(*_):
    raise AssertionError("drawn, not read from the cache")


def test_is_deterministic(tmp_path, split):
    assert same(Glyphs(**SMALL).load(at(tmp_path)), split)


def test_cache_is_used(cache, split, monkeypatch):
    monkeypatch.setattr(Glyphs, "_draw", refuse_to_draw)
    assert same(Glyphs(**SMALL).load(at(cache)), split)
    with pytest.raises(AssertionError, match="drawn"):
        Glyphs(**SMALL, seed=1).load(at(cache))


@pytest.mark.parametrize("version", ["matplotlib.__version__", "PIL.__version__"])
def test_cache_is_not_used_across_versions(cache, split, monkeypatch, version):
    monkeypatch.setattr(version, "0.0")
    monkeypatch.setattr(Glyphs, "_draw", refuse_to_draw)
    with pytest.raises(AssertionError, match="drawn"):
        Glyphs(**SMALL).load(at(cache))


def test_validation_shares_the_cache(cache, split, monkeypatch):
    monkeypatch.setattr(Glyphs, "_draw", refuse_to_draw)
    Glyphs(**SMALL, validation=True).load(at(cache))


def test_damaged_cache_is_made_again(tmp_path, split):
    Glyphs(**SMALL).load(at(tmp_path))
    (file,) = tmp_path.iterdir()
    sound = file.read_bytes()
    file.write_bytes(sound[:100])
    assert same(Glyphs(**SMALL).load(at(tmp_path)), split)
    assert file.read_bytes() == sound


def test_shapes_ranges_labels_and_ids(split):
    for part in (split.train, split.test):
        assert part.images.dtype == torch.uint8
        assert part.images.shape == (18, 1, 28, 28)
        assert part.labels.dtype == part.ids.dtype == torch.int64
        assert part.labels.tolist() == [label for label in range(6) for _ in range(3)]
        assert part.num_classes == 6
        batch = part.batch(slice(None))
        assert batch.dtype == torch.float32
        assert batch.min() == 0
        assert 0.9 < batch.max() <= 1
    ids = torch.cat([split.train.ids, split.test.ids])
    assert len(ids.unique()) == len(ids)


def test_classes_follow_the_list(split):
    listed = read_classes()
    assert letters_of(split.train) == sorted(listed[:6])
    assert letters_of(split.test) == sorted(listed[6:12])
    assert split.train.ids[split.train.labels == 2].tolist() == [
        listed[2] * MAX_PER_CLASS + i for i in range(3)
    ]


def test_training_and_test_classes_are_disjoint(split):
    assert not set(letters_of(split.train)) & set(letters_of(split.test))


def test_validation_touches_no_test_class(cache, split):
    validation = Glyphs(**SMALL, validation=True).load(at(cache))
    assert (validation.train.num_classes, validation.test.num_classes) == (4, 2)
    used = letters_of(validation.train) + letters_of(validation.test)
    assert sorted(used) == letters_of(split.train)
    assert not set(used) & set(letters_of(split.test))


def test_smallest_set_can_be_split_for_validation(tmp_path):
    validation = Glyphs(classes=8, per_class=2, validation=True).load(at(tmp_path))
    assert (validation.train.num_classes, validation.test.num_classes) == (2, 2)


def test_images_do_not_depend_on_how_many_there_are(tmp_path, split):
    larger = Glyphs(classes=26, per_class=5).load(at(tmp_path))
    images = {
        image_id: image
        for part in (larger.train, larger.test)
        for image_id, image in zip(part.ids.tolist(), part.images, strict=True)
    }
    for part in (split.train, split.test):
        for image_id, image in zip(part.ids.tolist(), part.images, strict=True):
            assert torch.equal(image, images[image_id])


def test_images_differ_within_a_class_and_with_the_seed(tmp_path, split):
    assert len(split.train.images.flatten(1).unique(dim=0)) == len(split.train)
    other = Glyphs(**SMALL, seed=1).load(at(tmp_path))
    assert not (other.train.images == split.train.images).flatten(1).all(dim=1).any()


@pytest.mark.parametrize("size", [16, 28, 40])
def test_letters_are_whole(tmp_path, size):
    split = Glyphs(classes=40, per_class=6, size=size).load(at(tmp_path))
    images = torch.cat([split.train.batch(slice(None)), split.test.batch(slice(None))])[:, 0]
    assert images.shape[1:] == (size, size)
    # A letter that just touches the border leaves it mostly dark: half a pixel is kept free.
    for border in (images[:, 0], images[:, -1], images[:, :, 0], images[:, :, -1]):
        assert border.max() < 0.6
    assert (images.amax(dim=(1, 2)) > 0.5).all()


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("glyphs[classes=7]", "greater than or equal to 8"),
        ("glyphs[classes=9]", "must be even"),
        ("glyphs[classes=602]", "less than or equal to 600"),
        ("glyphs[per_class=1]", "per_class"),
        ("glyphs[size=8]", "size"),
        ("glyphs[seed=-1]", "seed"),
        ("glyphs[classes=many]", "classes"),
        ("glyphs[sizes=28]", "Did you mean 'size'"),
    ],
)
def test_bad_parameters_are_usage_errors(spec, message):
    with pytest.raises(UsageError, match=message) as caught:
        DATASETS.build(spec)
    assert "\n" not in str(caught.value)


def test_unknown_data_set_is_a_usage_error():
    with pytest.raises(
        UsageError, match=r"Unknown data set 'glyph'. Did you mean 'glyphs'\? Valid: .*digits"
    ):
        DATASETS.build("glyph")


def test_spec_names_what_differs_from_the_defaults():
    assert DATASETS.build("glyphs").spec == "glyphs"
    assert DATASETS.build("glyphs[size=28,classes=20]").spec == "glyphs[classes=20]"


def test_class_list_is_unique_and_in_all_faces():
    listed = read_classes()
    assert len(listed) == len(set(listed)) == MAX_CLASSES
    assert len(set(FACES)) == 12
    for face in FACES:
        assert set(listed) <= set(FT2Font(str(face_path(face))).get_charmap())


@pytest.mark.parametrize(
    "line",
    [
        "U+41 LATIN CAPITAL LETTER A",
        "U+0041",
        "U+0042 LATIN CAPITAL LETTER A",
        "U+FFFFF X",
        "",
        "U+0043 LATIN CAPITAL LETTER C",
    ],
)
def test_malformed_line_of_the_class_list(tmp_path, line):
    path = tmp_path / "classes.txt"
    path.write_text(f"U+0043 LATIN CAPITAL LETTER C\n{line}\n", encoding="utf-8")
    with pytest.raises(BenchmarkError, match="Line 2 of") as caught:
        read_classes(path)
    assert "\n" not in str(caught.value)


def test_missing_class_list(tmp_path):
    with pytest.raises(BenchmarkError, match="cannot be read"):
        read_classes(tmp_path / "none.txt")


def test_missing_font(tmp_path, monkeypatch):
    assert Glyphs().missing(NOWHERE) is None
    monkeypatch.setattr(matplotlib, "get_data_path", lambda: str(tmp_path))
    with pytest.raises(BenchmarkError, match=r"The font file .*ttf is missing"):
        Glyphs(**SMALL).load(at(tmp_path))
    assert "is missing" in (Glyphs().missing(NOWHERE) or "")


def test_damaged_font(tmp_path, monkeypatch):
    folder = tmp_path / "fonts" / "ttf"
    folder.mkdir(parents=True)
    for face in FACES:
        (folder / f"{face}.ttf").write_bytes(b"no font")
    monkeypatch.setattr(matplotlib, "get_data_path", lambda: str(tmp_path))
    with pytest.raises(BenchmarkError, match="cannot be read"):
        Glyphs(**SMALL).load(at(tmp_path))
