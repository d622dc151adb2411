"""The file that photographs are decoded into: mapped read-only, complete or absent, made once."""

import errno
import shutil
import threading
import warnings
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError

from benchmark.core.errors import BenchmarkError
from benchmark.data import image_files
from benchmark.data.packed import open_packed, packed


def files_in(folders):
    return sorted(path.suffix for path in folders.cache.rglob("*") if path.is_file())


@pytest.fixture
def pictures(tmp_path, tiny_sets):
    files = [tmp_path / f"{number}.png" for number in range(5)]
    for number, file in enumerate(files):
        tiny_sets.picture(file, number)
    return files


def made(path, pictures):
    return packed(path, pictures, 40, 32, "pictures")


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="only Linux lists its mappings")
def test_what_is_mapped_is_not_writable_and_gives_no_warning(tmp_path, pictures):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        images = made(tmp_path / "cache" / "a", pictures)
    (mapping,) = [line for line in Path("/proc/self/maps").read_text().splitlines() if "a.pixels" in line]
    assert mapping.split()[1].startswith("r--")
    assert images.whole(3).shape == (3, 40, 50)
    crop = images[torch.tensor([3])]
    crop.zero_()  # a copy, else this would end the process
    assert images[torch.tensor([3])].any()
    assert (images.whole(3)[0] == 3 * 7).all()


def test_incomplete_files_are_made_again(tmp_path, pictures):
    path = tmp_path / "cache" / "a"
    made(path, pictures)
    for damage in (
        lambda: path.with_suffix(".pixels").write_bytes(b""),
        lambda: path.with_suffix(".pixels").write_bytes(b"short"),
        lambda: path.with_suffix(".safetensors").write_bytes(b"damaged"),
        lambda: path.with_suffix(".pixels").unlink(),
    ):
        damage()
        assert open_packed(path, 5, 32) is None
        assert made(path, pictures)[:].any()
    assert open_packed(path, 4, 32) is None


@pytest.mark.parametrize("part", [slice(0, 8), slice(-8, None), slice(7000, 15000)])
def test_damaged_pixels_are_made_again(tmp_path, pictures, part):
    """As a file is that was not written to the disk when the power failed: of the right size, and zeros."""
    path = tmp_path / "cache" / "a"
    before = made(path, pictures)[:].clone()
    content = bytearray(path.with_suffix(".pixels").read_bytes())
    content[part] = bytes(255 - value for value in content[part])
    path.with_suffix(".pixels").write_bytes(content)
    assert open_packed(path, 5, 32) is None
    assert torch.equal(made(path, pictures)[:], before)


def test_what_cannot_be_mapped_is_reported_and_not_decoded_again(tmp_path, pictures, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    made(tmp_path / "cache" / "a", pictures)
    monkeypatch.setattr("benchmark.data.packed.np.memmap", refuse)
    monkeypatch.setattr(image_files, "decode_scaled", lambda *_: pytest.fail("decoded"))
    with pytest.raises(BenchmarkError, match=r"a\.pixels cannot be mapped: Cannot allocate memory\."):
        made(tmp_path / "cache" / "a", pictures)


def test_several_at_once(tmp_path, pictures):
    found, barrier = [], threading.Barrier(4)

    def ask():
        barrier.wait()
        found.append(made(tmp_path / "cache" / "a", pictures)[:])

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4 and all(torch.equal(one, found[0]) for one in found)
    assert len(list((tmp_path / "cache").iterdir())) == 2


@pytest.mark.parametrize("error", [KeyboardInterrupt(), BenchmarkError("damaged")])
def test_an_interrupted_decoding_leaves_no_files_and_is_repeated(error, folders, monkeypatch, tiny_sets):
    tiny_sets.cub(folders.data)
    decode, calls = image_files.decode_scaled, []

    def breaking(file, shorter):
        calls.append(file)
        if len(calls) == 6:
            raise error
        return decode(file, shorter)

    with monkeypatch.context() as patched:
        patched.setattr(image_files, "decode_scaled", breaking)
        with pytest.raises(type(error)):
            tiny_sets.load("cub200", folders)
    assert files_in(folders) == []
    assert len(tiny_sets.load("cub200", folders).test) == 4
    assert files_in(folders) == [".pixels", ".safetensors"]


class Full:
    """Bytes that cannot be written, as where the disk is full."""

    shape = (3, 40, 50)

    def tobytes(self):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_is_one_line(folders, monkeypatch, tiny_sets):
    tiny_sets.cub(folders.data)
    monkeypatch.setattr(image_files, "decode_scaled", lambda *_: Full())
    tiny_sets.refused("cub200", folders, r"pixels cannot be written: the disk is full\. Make room")
    assert files_in(folders) == []


def test_an_index_that_cannot_be_written_is_one_line(folders, monkeypatch, tiny_sets):
    def full(*_):
        raise SafetensorError("Error while serializing: I/O error: No space left on device")

    tiny_sets.cub(folders.data)
    monkeypatch.setattr("benchmark.data.packed.save_file", full)
    tiny_sets.refused("cub200", folders, "Cannot write the cache file .*: Error while serializing")
    assert files_in(folders) == []


def test_a_cache_that_is_a_file_is_one_line(folders, tiny_sets):
    tiny_sets.cub(folders.data)
    folders.cache.write_text("")
    tiny_sets.refused("cub200", folders, "Cannot write the cache file")


def key_of(tiny_sets, folders, name, change):
    """The fingerprint of a copy of the data that was changed."""
    copy = folders._replace(data=folders.data.with_name(name))
    shutil.copytree(folders.data, copy.data)
    change(copy.data / "CUB_200_2011")
    return tiny_sets.build("cub200").fingerprint(copy)


def test_what_is_decoded_is_known_by_its_files_and_metadata(folders, tiny_sets):
    labels = tiny_sets.cub(folders.data) / "image_class_labels.txt"
    key = tiny_sets.build("cub200").fingerprint(folders)
    assert key_of(tiny_sets, folders, "same", lambda _: None) == key
    assert (
        key_of(
            tiny_sets,
            folders,
            "image",
            lambda root: (root / "images/001.Bird/b1_0.jpg").open("ab").write(b"x"),
        )
        != key
    )
    swapped = labels.read_text().replace("2 1", "2 2")
    assert key_of(tiny_sets, folders, "class", lambda root: (root / labels.name).write_text(swapped)) != key
