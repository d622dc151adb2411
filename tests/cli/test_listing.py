"""`--list-data` with nothing, with something and with damage in the data folder."""

import re

import pytest

from benchmark.cli import listing, main
from benchmark.data import DATASETS, Dataset, Folders
from benchmark.data.base import About

NAMES = sorted(name for name, cls in DATASETS.items() if cls.__module__.startswith("benchmark."))


def rows(text):
    """Cells of the rows by name, and the lines after the table."""
    table, _, rest = text.partition("\n\n")
    found = {
        line.split()[0]: [cell.strip() for cell in re.split(r"  +", line)]
        for line in table.splitlines()[2:]
        if not line.startswith(" ")
    }
    return found, rest


@pytest.fixture
def listed(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DML_BENCHMARK_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("DML_BENCHMARK_DATA", raising=False)

    def run(*arguments):
        assert main(["--list-data", "--data-root", str(tmp_path / "data"), *arguments]) == 0
        return capsys.readouterr().out

    return run


def test_nothing_is_here(listed, tmp_path):
    text = listed()
    table, rest = rows(text)
    assert [name for name in table if name in NAMES] == NAMES
    for name in ("glyphs", "digits"):
        assert table[name][1] == "here"
    for name in set(NAMES) - {"glyphs", "digits", "folder", "tensors"}:
        assert table[name][1] == "missing"
        assert re.search(rf"^{name} (is|has) .*", rest, re.MULTILINE)
        assert DATASETS.get(name).about.source in rest
    assert f"Data folder: {tmp_path / 'data'}\n" in rest and "--data-root DIR" in rest
    assert "DML_BENCHMARK_DATA" in rest
    assert f"{tmp_path / 'cache'}\n" in rest
    assert not list(tmp_path.iterdir())


def test_counts_sizes_and_licenses(listed):
    table, _ = rows(listed())
    assert table["cub200"][2:6] == ["100 / 100", "5,864 / 5,924", DATASETS.get("cub200").about.size, "yes"]
    assert table["sop"][2:4] == ["11,318 / 11,316", "59,551 / 60,502"]
    assert table["omniglot"][2:] == ["964 / 659", "19,280 / 13,180", "16 MB", "yes", "MIT"]
    assert table["cars196"][5] == "no"


def test_what_is_there_is_here(listed, tmp_path):
    (tmp_path / "data").mkdir()
    archive = tmp_path / "data" / "cifar-10-python.tar.gz"
    archive.write_bytes(b"\x1f\x8b and more")
    table, rest = rows(listed())
    assert table["cifar10"][1] == "here" and "\ncifar10 " not in rest
    assert table["cifar100"][1] == "missing"
    archive.write_bytes(b"<html>")
    table, rest = rows(listed())
    assert table["cifar10"][1] == "missing" and f"{archive} is damaged (it is not an archive)" in " ".join(
        rest.split()
    )


def test_photographs_without_all_their_files_are_not_here(listed, tmp_path):
    folder = tmp_path / "data" / "CUB_200_2011"
    folder.mkdir(parents=True)
    (folder / "images.txt").write_text("1 a/b.jpg")
    table, rest = rows(listed())
    assert table["cub200"][1] == "missing"
    assert f"no image_class_labels.txt in {folder}" in " ".join(rest.split())


def test_a_plugins_data_set_is_listed(listed, tmp_path):
    plugin = tmp_path / "mine.py"
    plugin.write_text(
        '"""Mine."""\n'
        "from benchmark.data import DATASETS, Dataset\n\n\n"
        '@DATASETS.register("mine")\n'
        "class Mine(Dataset):\n"
        '    """Mine."""\n\n'
        "    def missing(self, folders):\n"
        '        """Always."""\n'
        '        return "mine is nowhere"\n\n'
        "    def read(self, folders):\n"
        '        """Never."""\n'
        "        raise NotImplementedError\n"
    )
    try:
        table, rest = rows(listed("--plugin", str(plugin)))
    finally:
        DATASETS.forget("mine")
    assert table["mine"][1] == "missing" and "mine is nowhere" in rest


def test_lines_fit(listed):
    assert max(len(line) for line in listed().splitlines() if "pytest" not in line) <= 110


def test_a_long_license_is_wrapped(tmp_path):
    class Long(Dataset):
        about = About("https://a", "123 GB", "word " * 30, "here")

    lines = listing._row("long", Long(), None)
    assert len(lines) > 2 and max(map(len, lines)) <= 110
    assert " ".join(line[82:].strip() for line in lines).split() == ["word"] * 30


def test_no_image_is_read(tmp_path, monkeypatch):
    for name in NAMES:
        monkeypatch.setattr(DATASETS.get(name), "read", lambda *_: pytest.fail("read"))
    assert listing.list_data(Folders(tmp_path / "cache", tmp_path / "data"), []) == 0
