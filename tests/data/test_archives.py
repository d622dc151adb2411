"""Archives: damage is found wherever it is, and the unpacked folder is complete or absent."""

import os
import tarfile
import threading
import time
import zipfile

import numpy as np
import pytest

from benchmark.core.errors import BenchmarkError
from benchmark.data import archives
from benchmark.data.archives import already_unpacked, is_archive, unpacked, zip_contains

ENDINGS = ("zip", "tgz", "tar.gz")


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "things"
    made.mkdir()
    for number in range(3):
        noise = np.random.default_rng(number).integers(0, 256, 30_000, np.uint8)
        (made / f"{number}.bin").write_bytes(noise.tobytes())
    return made


def names(root):
    return sorted(path.name for path in root.rglob("*") if path.is_file())


def left(cache):
    return list((cache / "unpacked").iterdir())


@pytest.mark.parametrize("ending", ENDINGS)
def test_unpacked_once(ending, folder, tmp_path, capsys, tiny_sets):
    archive = tiny_sets.pack(tmp_path / f"a.{ending}", folder)
    assert is_archive(archive) and already_unpacked(archive, tmp_path / "cache") is None
    root = unpacked(archive, tmp_path / "cache")
    assert names(root / "things") == ["0.bin", "1.bin", "2.bin"]
    assert root.stat().st_mode & 0o055  # others may read it
    assert unpacked(archive, tmp_path / "cache") == root == already_unpacked(archive, tmp_path / "cache")
    assert left(tmp_path / "cache") == [root]
    assert capsys.readouterr().err.count("Unpacking") == 1


def test_a_tar_that_is_not_compressed(folder, tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as opened:
        opened.add(folder, "things")
    assert is_archive(tmp_path / "a.tar")
    assert names(unpacked(tmp_path / "a.tar", tmp_path / "cache")) == ["0.bin", "1.bin", "2.bin"]


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("place", [0.2, 0.5, 0.8])
def test_a_byte_that_flipped(ending, place, folder, tmp_path, tiny_sets):
    archive = tiny_sets.pack(tmp_path / f"a.{ending}", folder)
    content = bytearray(archive.read_bytes())
    content[int(len(content) * place)] ^= 1
    archive.write_bytes(content)
    refused(archive, tmp_path / "cache")


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("cut", [5, 200, 40_000])
def test_an_end_that_is_missing(ending, cut, folder, tmp_path, tiny_sets):
    archive = tiny_sets.pack(tmp_path / f"a.{ending}", folder)
    archive.write_bytes(archive.read_bytes()[:-cut])
    refused(archive, tmp_path / "cache")


def refused(archive, cache):
    with pytest.raises(BenchmarkError, match=rf"{archive} is damaged or truncated .*: delete it") as caught:
        unpacked(archive, cache)
    assert "\n" not in str(caught.value)
    assert left(cache) == []


def test_what_leads_out_of_the_folder_is_refused(folder, tmp_path):
    with tarfile.open(tmp_path / "a.tgz", "w:gz") as opened:
        opened.add(folder, "../things")
    refused(tmp_path / "a.tgz", tmp_path / "cache")
    assert not (tmp_path / "cache" / "things").exists()


@pytest.mark.parametrize("content", [b"", b"text", b"<html>"])
def test_what_is_no_archive(content, tmp_path):
    (tmp_path / "a.zip").write_bytes(content)
    assert not is_archive(tmp_path / "a.zip")
    refused(tmp_path / "a.zip", tmp_path / "cache")


def test_what_a_zip_lists(folder, tmp_path, tiny_sets):
    archive = tiny_sets.pack(tmp_path / "a.zip", folder)
    assert zip_contains(archive, "things/") and not zip_contains(archive, "car_data/")
    archive.write_bytes(archive.read_bytes()[:100])
    assert not zip_contains(archive, "things/")


def test_several_at_once(folder, tmp_path, monkeypatch, tiny_sets):
    archive = tiny_sets.pack(tmp_path / "a.zip", folder)
    barrier, found = threading.Barrier(3), []
    unzip = archives._unzip

    def together(*arguments):
        barrier.wait()  # all have seen that the folder is not there
        unzip(*arguments)

    monkeypatch.setattr(archives, "_unzip", together)
    threads = [
        threading.Thread(target=lambda: found.append(unpacked(archive, tmp_path / "cache"))) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 3 and left(tmp_path / "cache") == [found[0]]


def test_what_a_killed_process_left_is_removed_once_it_is_old(folder, tmp_path, tiny_sets):
    archive = tiny_sets.pack(tmp_path / "a.zip", folder)
    old, new = (tmp_path / "cache" / "unpacked" / f".writing-{name}" for name in ("old", "new"))
    for leftover in (old, new):
        (leftover / "content").mkdir(parents=True)
    os.utime(old, (time.time() - 2 * 86_400,) * 2)
    root = unpacked(archive, tmp_path / "cache")
    assert sorted(left(tmp_path / "cache")) == sorted([new, root])


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_long_unpacking_is_not_taken_for_what_a_killed_process_left(
    ending, folder, tmp_path, monkeypatch, tiny_sets
):
    """Its folder is touched with each file."""
    archive = tiny_sets.pack(tmp_path / f"a.{ending}", folder)
    touched = []
    monkeypatch.setattr(os, "utime", lambda path, *_, **__: touched.append(f"{path}"))
    unpacked(archive, tmp_path / "cache")
    assert sum("content" not in path and ".writing-" in path for path in touched) >= 3


def test_a_full_disk_is_one_line(folder, tmp_path, monkeypatch, tiny_sets):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    archive = tiny_sets.pack(tmp_path / "a.zip", folder)
    monkeypatch.setattr(zipfile.ZipFile, "extract", full)
    with pytest.raises(
        BenchmarkError, match=rf"{archive} cannot be unpacked into .*: No space left on device\."
    ):
        unpacked(archive, tmp_path / "cache")
    assert left(tmp_path / "cache") == []
