"""Metadata of full length, without an image, through the parsers: the field's counts, exactly."""

import pytest

from benchmark.core.errors import BenchmarkError
from benchmark.data import DATASETS
from benchmark.data.counting import find_inconsistency
from benchmark.data.layouts import Entry
from benchmark.data.photographs import _locate

# As the papers have them (Wah 2011, Krause 2013, Liu 2016, Song 2016 and others), each with the
# split of metric learning.
COUNTS = {
    "cub200": (100, 5_864, 100, 5_924, 0),
    "cars196": (98, 8_054, 98, 8_131, 0),
    "inshop": (3_997, 25_882, 3_985, 26_830, 14_218),
    "sop": (11_318, 59_551, 11_316, 60_502, 0),
}


def spread(images, classes, first=1):
    """The class of each of some images, as even as can be."""
    return [first + image * classes // images for image in range(images)]


def cub(tiny_sets, data):
    labels = [*spread(5_864, 100), *spread(5_924, 100, 101)]
    folder = data / "CUB_200_2011"
    folder.mkdir()
    images = [f"{row} {label:03d}.Bird/{row}.jpg" for row, label in enumerate(labels, 1)]
    (folder / "images.txt").write_text("\n".join(images))
    classes = [f"{row} {label}" for row, label in enumerate(labels, 1)]
    (folder / "image_class_labels.txt").write_text("\n".join(classes))
    return folder / "images.txt"


def sop(tiny_sets, data):
    folder = data / "Stanford_Online_Products"
    folder.mkdir()
    parts = {"train": spread(59_551, 11_318), "test": spread(60_502, 11_316, 11_319)}
    for side, labels in parts.items():
        lines = [f"{row} {label} 1 a_final/{side}{row}.JPG" for row, label in enumerate(labels, 1)]
        (folder / f"Ebay_{side}.txt").write_text("\n".join(["image_id class_id super_class_id path", *lines]))
    return folder / "Ebay_test.txt"


def inshop(tiny_sets, data):
    folder = data / "In-shop Clothes Retrieval Benchmark" / "Eval"
    folder.mkdir(parents=True)
    sides = {
        "train": spread(25_882, 3_997),
        "query": spread(14_218, 3_985, 3_998),
        "gallery": spread(12_612, 3_985, 3_998),
    }
    lines = [
        f"img/MEN/Tees/id_{label:08d}/{side}{row}.jpg  id_{label:08d}  {side}"
        for side, labels in sides.items()
        for row, label in enumerate(labels)
    ]
    file = folder / "list_eval_partition.txt"
    file.write_text("\n".join([f"{len(lines)}", "image_name item_id evaluation_status", *lines]))
    return file


def cars(tiny_sets, data, training=8_054):
    labels = [*spread(training, 98), *spread(8_131, 98, 99)]
    rows = [(f"car_ims/{row:06d}.jpg", label) for row, label in enumerate(labels, 1)]
    tiny_sets.annotations(data / "cars_annos.mat", rows, "relative_im_path")
    return data / "cars_annos.mat"


FULL = {"cub200": cub, "cars196": cars, "inshop": inshop, "sop": sop}


@pytest.fixture
def without_images(monkeypatch):
    """Every image listed counts as there."""
    monkeypatch.setattr(
        "benchmark.data.layouts._files_in",
        lambda folders, names: {name: (folders[0] / name, 1) for name in names},
    )


@pytest.mark.parametrize("name", COUNTS)
@pytest.mark.slow
def test_the_counts_of_the_papers(name, folders, without_images, tiny_sets):
    FULL[name](tiny_sets, folders.data)
    dataset = DATASETS.build(name)
    assert dataset.official == COUNTS[name]
    if name in ("cub200", "inshop"):
        (next(folders.data.iterdir()) / ("images" if name == "cub200" else "Img")).mkdir()
    entries = _locate(dataset, folders, unpack=False).entries
    train = [entry for entry in entries if entry.side == "train"]
    test = [entry for entry in entries if entry.side != "train"]
    queries = [entry for entry in entries if entry.side == "query"]
    have = (len({e.label for e in train}), len(train), len({e.label for e in test}), len(test), len(queries))
    assert have == COUNTS[name]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cub200", "5,923 test images instead of 5,924"),
        ("inshop", "26,829 test images instead of 26,830"),
        ("sop", "60,501 test images instead of 60,502"),
    ],
)
def test_a_missing_line_is_reported(name, message, folders, tiny_sets):
    file = FULL[name](tiny_sets, folders.data)
    text = file.read_text().rsplit("\n", 1)[0]
    file.write_text(text.replace("52712\n", "52711\n"))
    with pytest.raises(BenchmarkError, match=f"{name} has {message}, according to the metadata in .*"):
        _locate(DATASETS.build(name), folders, unpack=False)


@pytest.mark.slow
def test_a_missing_car_is_reported(folders, tiny_sets):
    cars(tiny_sets, folders.data, training=8_053)
    with pytest.raises(BenchmarkError, match="cars196 has 8,053 train images instead of 8,054"):
        _locate(DATASETS.build("cars196"), folders, unpack=False)


def test_a_query_in_place_of_a_gallery_image_is_reported(folders, tiny_sets):
    file = inshop(tiny_sets, folders.data)
    file.write_text(file.read_text()[: -len("gallery")] + "query")
    with pytest.raises(BenchmarkError, match="inshop has 14,219 queries instead of 14,218"):
        _locate(DATASETS.build("inshop"), folders, unpack=False)


def entries(*rows):
    return [Entry(file, label, side) for file, label, side in rows]


SOUND = (("a", 1, "train"), ("b", 2, "train"), ("c", 3, "query"), ("d", 3, "gallery"), ("e", 4, "gallery"))


def test_inconsistencies_that_need_no_counts():
    assert find_inconsistency(entries(*SOUND), None) is None
    assert (
        find_inconsistency(entries(*SOUND, ("f", 1, "gallery")), None)
        == "has class 1 in the training and in the test set"
    )
    assert find_inconsistency(entries(*SOUND, SOUND[0]), None) == "lists 1 images twice"
    assert "1 training and 2 test classes" in find_inconsistency(entries(*SOUND[1:]), None)
    unmatched = find_inconsistency(entries(*SOUND, ("f", 5, "query")), None)
    assert unmatched == "has queries of class 5, but no image of it in the gallery"
