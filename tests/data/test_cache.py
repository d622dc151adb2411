import pytest
import torch

from benchmark.core.errors import BenchmarkError
from benchmark.data.cache import cached, fingerprint


class Maker:
    def __init__(self):
        self.calls = 0

    def __call__(self):
        self.calls += 1
        return {"a": torch.arange(1000, dtype=torch.uint8), "b": torch.tensor([1.5, -2.0])}


@pytest.fixture
def make():
    return Maker()


def test_makes_once_and_then_reads(tmp_path, make):
    path = tmp_path / "new" / "folder" / "x.safetensors"
    first = cached(path, make)
    second = cached(path, make)
    assert make.calls == 1
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert [file.name for file in path.parent.iterdir()] == ["x.safetensors"]


def truncate(content):
    return content[: len(content) // 2]


def empty(_):
    return b""


def noise(content):
    return b"\xff" * len(content)


def flip_one_bit(content):
    return content[:-500] + bytes([content[-500] ^ 1]) + content[-499:]


@pytest.mark.parametrize("damage", [truncate, empty, noise, flip_one_bit])
def test_damaged_file_is_made_again(tmp_path, make, damage):
    path = tmp_path / "x.safetensors"
    cached(path, make)
    sound = path.read_bytes()
    path.write_bytes(damage(sound))
    assert torch.equal(cached(path, make)["a"], make()["a"])
    assert make.calls == 3  # the third call is the test's own
    assert path.read_bytes() == sound


def test_unwritable_folder_is_one_clear_line(tmp_path, make):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(BenchmarkError, match="Cannot write the cache file") as caught:
        cached(tmp_path / "file" / "x.safetensors", make)
    assert "\n" not in str(caught.value)


def test_failed_write_leaves_nothing_behind(tmp_path, make, monkeypatch):
    def fail(tensors, path, metadata):
        path.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr("benchmark.data.cache.save_file", fail)
    with pytest.raises(BenchmarkError, match="disk full"):
        cached(tmp_path / "x.safetensors", make)
    assert list(tmp_path.iterdir()) == []


def test_fingerprint_depends_on_every_part_and_not_on_the_order_of_keys():
    assert fingerprint({"a": 1, "b": 2}, "x") == fingerprint({"b": 2, "a": 1}, "x")
    assert len({fingerprint(1, "x"), fingerprint(2, "x"), fingerprint(1, "y"), fingerprint(1)}) == 4
