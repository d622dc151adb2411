"""What the options of the command line are read as."""

from pathlib import Path

import pytest

from benchmark.cli import main
from benchmark.cli.options import build_parser
from benchmark.data.places import folders_for


@pytest.mark.parametrize("option", ["output", "data-root", "config", "plugin", "check-plugin"])
def test_each_path_may_begin_with_the_home_folder(option, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    read = vars(build_parser().parse_args([f"--{option}=~/mine"]))[option.replace("-", "_")]
    assert read in (tmp_path / "mine", [tmp_path / "mine"])


def test_so_may_the_folders_of_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("DML_BENCHMARK_CACHE", "~/cache")
    monkeypatch.setenv("DML_BENCHMARK_DATA", "~/data")
    folders = folders_for()
    assert (folders.cache, folders.data) == (tmp_path / "cache", tmp_path / "data")
    assert folders_for(Path("~/other")).data == tmp_path / "other"


def test_a_folder_of_that_name_is_not_made(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert main(["--list", "--plugin=~/none.py"]) == 2
    assert str(tmp_path / "none.py") in capsys.readouterr().err
    assert main(["--report-only", "--output=~/out"]) != 0
    assert str(tmp_path / "out") in capsys.readouterr().err
    assert not (tmp_path / "~").exists()
