"""A data set that lies in another folder than where it was looked for is found, and named in the message."""

import pytest

from benchmark.data import DATASETS, Folders
from benchmark.data.nearby import DEPTH, find_nearby, why_not_there


@pytest.fixture(params=["cub200", "sop", "inshop", "cars196"])
def name(request):
    return request.param


def test_the_folder_that_is_named_can_be_used(name, folders, tiny_sets):
    data = folders.data / "downloads" / "here"
    data.mkdir(parents=True)
    tiny_sets.write[name](data)
    reason = DATASETS.build(name).missing(folders)
    found = reason.partition("--data-root '")[2].partition("'")[0]
    assert found.startswith(str(data)), reason
    assert tiny_sets.missing(name, Folders(folders.cache, type(data)(found))) is None


def test_an_archive_is_found_too_but_not_one_of_a_common_name(folders):
    inner = folders.data / "a"
    inner.mkdir()
    (inner / "archive.zip").touch()
    assert find_nearby(DATASETS.get("cars196").layouts, folders.data) is None
    (folders.data / "CUB_200_2011.tgz").touch()  # where it was looked for
    (inner / "CUB_200_2011.tgz").mkdir()
    assert find_nearby(DATASETS.get("cub200").layouts, folders.data) is None
    (inner / "CUB_200_2011.tar.gz").touch()
    assert find_nearby(DATASETS.get("cub200").layouts, folders.data) == inner


def test_the_search_has_an_end(folders, monkeypatch):
    layouts = DATASETS.get("cub200").layouts
    deep = folders.data.joinpath(*"abcdef"[: DEPTH + 1])
    deep.mkdir(parents=True)
    (deep / "CUB_200_2011.tgz").touch()
    (folders.data / "round").symlink_to(folders.data)
    assert find_nearby(layouts, folders.data) is None
    (deep.parent / "CUB_200_2011.tgz").touch()
    assert find_nearby(layouts, folders.data) == deep.parent
    monkeypatch.setattr("benchmark.data.nearby.FOLDERS", DEPTH)
    assert find_nearby(layouts, folders.data) is None


def test_what_keeps_a_folder_from_holding_anything(tmp_path, monkeypatch, name):
    (tmp_path / "file").touch()
    assert why_not_there(tmp_path) == ""
    for other, clause in (("file", "which is a file"), ("none", "which does not exist")):
        assert why_not_there(tmp_path / other) == clause
        reason = DATASETS.build(name).missing(Folders(tmp_path / "cache", tmp_path / other))
        assert f"{name} is not in {tmp_path / other}, {clause}; --data-root names the folder" in reason

    def refuse(folder):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.scandir", refuse)
    assert why_not_there(tmp_path) == "which cannot be read (Permission denied)"


def test_a_folder_that_cannot_be_read_is_named(name, folders, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("benchmark.data.layouts.Path.is_file", refuse)
    reason = DATASETS.build(name).missing(folders)
    assert reason.startswith(f"{name} cannot be read: {folders.data}/") and "Permission denied" in reason
