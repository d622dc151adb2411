"""docs/datasets.md against the classes: counts, budgets, layouts, sources."""

import re
from pathlib import Path

import pytest

from benchmark.core.parameters import parse_fraction
from benchmark.core.spec import format_value
from benchmark.data import DATASETS, Dataset, Folders, image_files
from benchmark.data.base import Counts
from benchmark.data.downloads import can_download
from benchmark.data.photographs import Photographs
from benchmark.plugins.load import load_plugin

DOCUMENT = (Path(__file__).resolve().parents[2] / "docs" / "datasets.md").read_text(encoding="utf-8")
SECTIONS = {
    heading.partition(":")[0]: " ".join(text.split())
    for heading, text in re.findall(r"^### `(\S+)`\n(.*?)(?=^##|\Z)", DOCUMENT, re.MULTILINE | re.DOTALL)
}
TABLE = {
    cells[0].strip("`").partition(":")[0]: cells[1:]
    for cells in (
        [cell.strip() for cell in row.split("|")[1:-1]]
        for row in re.findall(r"^\| `.*", DOCUMENT[: DOCUMENT.index("## Where")], re.M)
    )
}
OWN = {name: cls() for name, cls in DATASETS.items() if cls.__module__.startswith("benchmark.")}


def counts_of(name, dataset, tmp_path):
    if name == "glyphs":  # not drawn here
        half = dataset.classes // 2
        return Counts(half, half * dataset.per_class, half, half * dataset.per_class)
    if name == "digits":
        split = dataset.load(Folders(tmp_path, tmp_path))
        return Counts(split.train.num_classes, len(split.train), split.test.num_classes, len(split.test))
    return dataset.official


def test_every_data_set_has_a_row_and_a_section_and_nothing_else_has():
    assert sorted(TABLE) == sorted(SECTIONS) == sorted(OWN)


@pytest.mark.parametrize("name", sorted(set(OWN) - {"folder", "tensors"}))
def test_the_rows(name, tmp_path):
    dataset = OWN[name]
    classes, images, linf, l2, ranks, size, license = TABLE[name]
    counts = counts_of(name, dataset, tmp_path)
    assert classes == f"{counts.train_classes:,} / {counts.test_classes:,}"
    assert images == f"{counts.train_images:,} / {counts.test_images:,}"
    eps = {"linf": float(parse_fraction(linf)), "l2": float(l2)}
    assert eps == pytest.approx(dict(dataset.headline_eps))
    assert ranks == ", ".join(map(str, dataset.recall_ks))
    if dataset.about is not None:
        assert (size, license) == (dataset.about.size, dataset.about.license)
    else:
        assert not size


@pytest.mark.parametrize("name", sorted(name for name in OWN if OWN[name].about))
def test_the_sections_say_what_and_where(name):
    about, section = OWN[name].about, SECTIONS[name]
    assert about.source in section
    for file in re.findall(r"[\w-]*[\w-]+\.(?:tgz|zip|tar\.gz|mat|txt)", about.layout):
        assert file in section


@pytest.mark.parametrize("name", sorted(name for name, one in OWN.items() if isinstance(one, Photographs)))
def test_every_layout_that_is_read_is_described(name):
    for layout in OWN[name].layouts:
        archives = (archive.name for archive in layout.archives)
        parts = {part for path in (*layout.folders, *archives, *layout.metadata) for part in path.split("/")}
        for part in parts - {"."}:
            assert (
                f"`{part}" in SECTIONS[name] or f"{part}`" in SECTIONS[name] or f"/{part}" in SECTIONS[name]
            ), part


def test_numbers_of_the_text():
    text = " ".join(DOCUMENT.split())
    assert f"more than {image_files.MAX_ASPECT_RATIO} times as long as wide" in text
    official = OWN["inshop"].official
    assert (
        f"{official.queries:,} images query a gallery of {official.test_images - official.queries:,}" in text
    )


def test_numbers_of_the_pool():
    glyphs = OWN["glyphs"]
    assert f"`glyphs[pool=all]` has {glyphs.classes} classes" in " ".join(DOCUMENT.split())


def test_which_can_be_fetched():
    listed = re.search(r"if all of them can be: (.*?)\.", " ".join(DOCUMENT.split())).group(1)
    assert set(re.findall(r"`(\w+)`", listed)) == {
        name for name, dataset in OWN.items() if can_download(dataset)
    }


def test_parameters_and_defaults_are_those_of_the_classes():
    for name, dataset in OWN.items():
        shared = Dataset.attributes()
        if isinstance(dataset, Photographs):
            text = DOCUMENT[DOCUMENT.index("## Photographs") : DOCUMENT.index("### `cub200`")]
        else:
            text = (
                SECTIONS[name] + DOCUMENT[DOCUMENT.index("### How many") : DOCUMENT.index("## Photographs")]
            )
        for key in set(dataset.attributes()) - set(shared):
            assert re.search(rf"`\w*\[?{key}\b", text), f"{name}: {key}"
        for key, value in re.findall(r"`(\w+)=([\w.]+)`", text):
            if key in dataset.attributes() and value != "true":
                assert format_value(getattr(dataset, dataset.attributes()[key])) == value, (name, key)
    numbers = re.search(
        r"take the first (\d+) images of each class, `cifar100` (\d+)", " ".join(DOCUMENT.split())
    )
    assert [int(number) for number in numbers.groups()] == [OWN[n].per_class for n in ("cifar10", "cifar100")]
    assert OWN["fashion_mnist"].per_class == OWN["cifar10"].per_class


def test_the_data_set_of_the_page_can_be_used(tmp_path):
    file = tmp_path / "squares.py"
    file.write_text(re.search(r"```python\n(.*?)```", DOCUMENT, re.DOTALL).group(1), encoding="utf-8")
    try:
        assert [cls.name for cls in load_plugin(file)] == ["squares"]
        split = DATASETS.build("squares").load(Folders(tmp_path, tmp_path))
    finally:
        DATASETS.forget("squares")
    assert (split.train.num_classes, split.test.num_classes) == (20, 20)
    assert (len(split.train), split.test.image_shape) == (200, (1, 28, 28))
