"""Archives: damage is found wherever it is, and the unpacked folder is complete or absent."""

import gzip
import io
import os
import tarfile
import threading
import time
import zipfile

import numpy as np
import pytest

from benchmark.core.errors import BenchmarkError
from benchmark.data import archive_limits, archives
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


def bomb(path, ending, size=2_000_000):
    """An archive of zeros, which unpacks to a thousand times its size."""
    if ending == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
            opened.writestr("zeros", bytes(size))
        return
    with tarfile.open(path, "w:gz") as opened:
        member = tarfile.TarInfo("zeros")
        member.size = size
        opened.addfile(member, io.BytesIO(bytes(size)))


@pytest.mark.parametrize("ending", ENDINGS)
def test_what_unpacks_to_more_than_a_data_set_can_be_is_refused(ending, tmp_path, monkeypatch):
    bomb(tmp_path / f"a.{ending}", ending)
    unpacked(tmp_path / f"a.{ending}", tmp_path / "other")  # a small one does no harm
    monkeypatch.setattr(archive_limits, "LEAST", 1_000_000)
    wanted = "is refused: it unpacks to more than 1,000,000 bytes, 20 times its own size or more"
    with pytest.raises(BenchmarkError, match=wanted) as caught:
        unpacked(tmp_path / f"a.{ending}", tmp_path / "cache")
    assert "\n" not in str(caught.value) and left(tmp_path / "cache") == []


def test_what_follows_the_last_file_of_a_tar_is_counted_too(folder, tmp_path, monkeypatch):
    with tarfile.open(tmp_path / "a.tar", "w") as opened:
        opened.add(folder / "0.bin", "0.bin")
    content = (tmp_path / "a.tar").read_bytes() + bytes(2_000_000)
    (tmp_path / "a.tgz").write_bytes(gzip.compress(content))
    monkeypatch.setattr(archive_limits, "LEAST", 1_000_000)
    with pytest.raises(BenchmarkError, match="is refused: it unpacks to more than"):
        unpacked(tmp_path / "a.tgz", tmp_path / "cache")


@pytest.mark.parametrize("ending", ENDINGS)
def test_too_many_files_are_refused(ending, folder, tmp_path, monkeypatch, tiny_sets):
    archive = tiny_sets.pack(tmp_path / f"a.{ending}", folder)
    monkeypatch.setattr(archive_limits, "MOST_FILES", 2)
    with pytest.raises(BenchmarkError, match="is refused: it unpacks to more than 2 files"):
        unpacked(archive, tmp_path / "cache")
    assert left(tmp_path / "cache") == []


@pytest.mark.parametrize("name", ["/etc/x", "../x", "a/../../x", "C:/x", "link"])
def test_what_leads_out_of_the_folder_of_a_zip_is_refused(name, tmp_path):
    member = zipfile.ZipInfo(name)
    member.external_attr = (0o120777 if name == "link" else 0o100644) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as opened:
        opened.writestr("first", "")
        opened.writestr(member, "/etc/passwd")
    refused(tmp_path / "a.zip", tmp_path / "cache")


@pytest.mark.parametrize("target", ["/etc/passwd", "../../x"])
def test_a_link_of_a_tar_that_leads_out_of_the_folder_is_refused(target, tmp_path):
    member = tarfile.TarInfo("link")
    member.type, member.linkname = tarfile.SYMTYPE, target
    with tarfile.open(tmp_path / "a.tgz", "w:gz") as opened:
        opened.addfile(member)
    refused(tmp_path / "a.tgz", tmp_path / "cache")
