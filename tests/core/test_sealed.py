import json
import random
import re
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from benchmark.core.errors import DamagedFileError, UnreadableFileError
from benchmark.core.sealed import (
    UnsealedFileError,
    check_tensors,
    open_record,
    read_json,
    seal_record,
    write_tensors,
)

CONTENT = {
    "id": "x",
    "metrics": {"ami": 0.25, "r1": 1e-05},
    "curve": [1.5, 2.0],
    "reason": "größer",
    "n": None,
}
TENSORS = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.array([True, False])}


@pytest.fixture
def record(tmp_path):
    path = tmp_path / "cells" / "x.json"
    path.parent.mkdir()
    path.write_text(seal_record(CONTENT, path))
    return path


@pytest.fixture
def tensors(tmp_path):
    path = tmp_path / "models" / "x.safetensors"
    write_tensors(path, lambda to, metadata: save_file(TENSORS, to, metadata), {"defense": "vanilla"})
    return path


def flip(path, bit):
    data = bytearray(path.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)


def bits(path, count):
    return random.Random(0).sample(range(8 * path.stat().st_size), count)


def test_a_record_comes_back_in_the_order_of_its_fields(record):
    assert open_record(record) == CONTENT
    assert list(open_record(record)) == list(CONTENT)


def test_every_flipped_bit_of_a_record_is_found_or_changes_no_content(record):
    sound, found = record.read_bytes(), 0
    for bit in bits(record, 1500):
        flip(record, bit)
        try:
            assert open_record(record) == CONTENT
        except DamagedFileError:
            found += 1
        record.write_bytes(sound)
    assert found > 1400


def test_every_flipped_bit_of_a_file_of_tensors_is_found(tensors):
    sound = tensors.read_bytes()
    for bit in range(8 * len(sound)):
        flip(tensors, bit)
        with pytest.raises(DamagedFileError):
            check_tensors(tensors)
        tensors.write_bytes(sound)
    assert check_tensors(tensors) == {"a", "b"}


def test_tensors_come_back_and_say_what_they_are(tensors):
    assert check_tensors(tensors) == TENSORS.keys()
    loaded = load_file(tensors)
    assert all(np.array_equal(loaded[name], value) for name, value in TENSORS.items())
    assert b"vanilla" in tensors.read_bytes() and b"models/x.safetensors" in tensors.read_bytes()


def test_the_same_tensors_are_the_same_bytes(tensors):
    first = tensors.read_bytes()
    for _ in range(3):
        write_tensors(tensors, lambda to, metadata: save_file(TENSORS, to, metadata), {"defense": "vanilla"})
        assert tensors.read_bytes() == first


@pytest.mark.parametrize("kind", ["record", "tensors"])
@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda path: path.write_bytes(b""), "it is empty"),
        (lambda path: path.write_bytes(path.read_bytes()[:20]), "it is cut off or changed"),
        (
            lambda path: path.write_bytes(path.read_bytes()[:-1]),
            "it is cut off or changed|its checksum is not that of its content",
        ),
        (lambda path: path.write_bytes(b"nonsense"), "it is cut off or changed"),
        (lambda path: path.write_bytes(b"\xff" * 100), "it is cut off or changed"),
        (lambda path: (path.unlink(), path.mkdir()), "a folder is in its place"),
    ],
)
def test_other_damage_is_named(request, kind, damage, reason):
    path, read = request.getfixturevalue(kind), {"record": open_record, "tensors": check_tensors}[kind]
    damage(path)
    with pytest.raises(DamagedFileError, match=rf"^{path} cannot be used \(({reason})\); delete it"):
        read(path)


@pytest.mark.parametrize("kind", ["record", "tensors"])
@pytest.mark.parametrize("to", ["{folder}/y", "elsewhere/x"])
def test_a_copy_under_another_name_is_found(request, tmp_path, kind, to):
    path, read = request.getfixturevalue(kind), {"record": open_record, "tensors": check_tensors}[kind]
    copy = tmp_path / (to.format(folder=path.parent.name) + path.suffix)
    copy.parent.mkdir(exist_ok=True)
    shutil.copy(path, copy)
    with pytest.raises(DamagedFileError, match=f"it was written as {path.parent.name}/{path.name}"):
        read(copy)


def test_what_has_no_seal_is_told_from_what_lost_its_checksum(record, tensors):
    content = json.loads(record.read_text())
    del content["checksum"]
    record.write_text(json.dumps(content))
    with pytest.raises(DamagedFileError, match="its checksum was removed") as caught:
        open_record(record)
    assert not isinstance(caught.value, UnsealedFileError)
    record.write_text(json.dumps(CONTENT))
    save_file(TENSORS, tensors)
    for path, read in ((record, open_record), (tensors, check_tensors)):
        with pytest.raises(UnsealedFileError, match="it has no checksum"):
            read(path)


def test_another_layout_of_the_text_is_no_damage(record):
    record.write_text(json.dumps(json.loads(record.read_text()), indent=4, sort_keys=True))
    assert open_record(record) == CONTENT


def test_numbers_that_are_not_finite_are_neither_written_nor_read(record):
    with pytest.raises(ValueError, match="not JSON compliant"):
        seal_record({"value": float("nan")}, record)
    record.write_text('{"value": NaN}')
    with pytest.raises(DamagedFileError):
        read_json(record)


@pytest.mark.parametrize("kind", ["record", "tensors"])
def test_what_cannot_be_read_is_named_with_what_to_do(request, monkeypatch, kind):
    path, read = request.getfixturevalue(kind), {"record": open_record, "tensors": check_tensors}[kind]

    def refused(*_, **__):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(type(path), "open", refused)
    monkeypatch.setattr(type(path), "read_bytes", refused)
    wanted = f"{path} cannot be read: Permission denied. Make it readable, or delete it, and run again."
    with pytest.raises(UnreadableFileError, match=f"^{re.escape(wanted)}$"):
        read(path)


def test_what_is_missing_is_no_damage(tmp_path):
    for read in (open_record, check_tensors):
        with pytest.raises(FileNotFoundError):
            read(tmp_path / "x")


def test_a_failed_write_keeps_the_old_file(tensors):
    first = tensors.read_bytes()

    def broken(to, _):
        to.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(Exception, match=f"{tensors} cannot be written: the disk is full"):
        write_tensors(tensors, broken)
    assert tensors.read_bytes() == first and list(tensors.parent.iterdir()) == [tensors]
