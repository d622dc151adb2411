"""Stored files that carry a checksum and their own name, so that any change of them is found.

Records (JSON) hold it among their fields, over their canonical content; files of tensors (safetensors) in the
metadata of their header, over every byte of the file.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from benchmark.core.errors import DamagedFileError, UnreadableFileError
from benchmark.core.files import replacing, set_aside

SCHEMA = 2
"""Version of the layout of stored files; those of the first say neither it nor a checksum."""

_ADDED = ("schema", "stored_as", "checksum")
"""Fields that a sealed record has beside its own."""

_BLANK = "0" * 64
"""What stands for the checksum while it is computed."""

_SEAL = "seal"
_CHECKSUM = re.compile(rb'\\"checksum\\":\\"([0-9a-f]{64})\\"')
_LENGTH = 8  # bytes before a safetensors header, which hold its length
_BLOCK = 1 << 20


def _reject(constant: str) -> None:
    raise ValueError(constant)


# Made once: a report reads thousands of records.
_DECODER = json.JSONDecoder(parse_constant=_reject)
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)


class UnsealedFileError(DamagedFileError):
    """A stored file carries no checksum: it is of an older version, or its checksum was removed."""


def seal_record(content: Mapping[str, Any], path: Path) -> str:
    """Return a record as JSON with its checksum, and the name of the file that it is written to.

    Raises:
        ValueError: when a number is not finite.
    """
    sealed = {**content, "schema": SCHEMA, "stored_as": _name(path)}
    # In the order of its fields: readers show some of them in it.
    return json.dumps({**sealed, "checksum": _checksum(sealed)}, separators=(",", ":"), allow_nan=False)


def open_record(path: Path) -> dict[str, Any]:
    """Read a sealed record, without the fields of its seal.

    Raises:
        FileNotFoundError: when there is none.
        UnsealedFileError: when it has no seal.
        DamagedFileError: when it is not what was written, or was written for another name.
        UnreadableFileError: when it cannot be read.
    """
    content = read_json(path)
    if not content.keys() & set(_ADDED):
        raise UnsealedFileError(path, "it has no checksum")
    checksum = content.pop("checksum", None)
    _compare(path, checksum, _checksum(content), content.get("schema"), content.get("stored_as"))
    return {name: value for name, value in content.items() if name not in _ADDED}


def read_json(path: Path) -> dict[str, Any]:
    """Read the object in a JSON file, whose numbers must be finite.

    Raises:
        FileNotFoundError: when there is no file.
        DamagedFileError: when it holds anything else.
        UnreadableFileError: when it cannot be read.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from None
    try:
        content = _DECODER.decode(data.decode("utf-8"))
    except (ValueError, RecursionError):
        raise DamagedFileError(path, "it is empty" if not data else "it is cut off or changed") from None
    if not isinstance(content, dict):
        raise DamagedFileError(path, "it holds no record")
    return content


def write_tensors(
    path: Path, save: Callable[[Path, dict[str, str]], object], key: Mapping[str, Any] | None = None
) -> None:
    """Write a file of tensors atomically, with its checksum; a folder in its place is set aside.

    Args:
        path: the file.
        save: writes the tensors to a path as safetensors, with the metadata that it is given.
        key: what the tensors belong to, in words, for readers of the file.

    Raises:
        StorageFullError: when the disk is full.
        OSError: when it cannot be written.
    """
    seal = {"schema": SCHEMA, "stored_as": _name(path), "key": dict(key or {}), "checksum": _BLANK}
    if path.is_dir():
        set_aside(path, "a folder is in its place")
    with replacing(path) as temporary:
        save(temporary, {_SEAL: _canonical(seal)})
        with temporary.open("r+b") as file:
            header = _read_header(file)
            (found,) = _CHECKSUM.finditer(header)
            checksum = _file_checksum(header, file)
            file.seek(_LENGTH + found.start(1))
            file.write(checksum.encode())


def check_tensors(path: Path) -> frozenset[str]:
    """Check that a file of tensors is what was written for its name; reads all of it.

    Returns:
        The names of its tensors.

    Raises:
        FileNotFoundError: when there is none.
        UnsealedFileError: when it has no seal.
        DamagedFileError: when it is not what was written, or was written for another name.
        UnreadableFileError: when it cannot be read.
    """
    try:
        with path.open("rb") as file:
            header = _read_header(file)
            content = json.loads(header)
            metadata = content.pop("__metadata__", {})
            if _SEAL not in metadata:
                raise UnsealedFileError(path, "it has no checksum")
            seal = json.loads(metadata[_SEAL])
            found = list(_CHECKSUM.finditer(header))
            if len(found) != 1:
                raise ValueError
            start, end = found[0].span(1)
            computed = _file_checksum(header[:start] + _BLANK.encode() + header[end:], file)
            _compare(path, seal["checksum"], computed, seal["schema"], seal["stored_as"])
    except OSError as error:
        raise _unreadable(path, error) from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        empty = path.stat().st_size == 0
        raise DamagedFileError(path, "it is empty" if empty else "it is cut off or changed") from None
    return frozenset(content)


def _compare(path: Path, expected: object, computed: str, schema: object, name: object) -> None:
    """Raise an error unless a file has the expected checksum and is under its own name."""
    if expected is None:
        raise DamagedFileError(path, "its checksum was removed")
    if expected != computed:
        raise DamagedFileError(path, "its checksum is not that of its content")
    if schema != SCHEMA:
        raise DamagedFileError(path, f"its layout has version {schema}, where this is {SCHEMA}")
    if name != _name(path):
        raise DamagedFileError(path, f"it was written as {name}")


def _unreadable(path: Path, error: OSError) -> Exception:
    if isinstance(error, FileNotFoundError):
        return error
    if path.is_dir():
        return DamagedFileError(path, "a folder is in its place")
    return UnreadableFileError(path, error.strerror or str(error))


def _name(path: Path) -> str:
    """The name that a file is sealed for: that of its folder, which is its kind, and its own, with the id."""
    return f"{path.parent.name}/{path.name}"


def _canonical(content: Mapping[str, Any]) -> str:
    return _CANONICAL.encode(content)


def _checksum(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(_canonical(content).encode()).hexdigest()


def _read_header(file: BinaryIO) -> bytes:
    """Read a safetensors header, and leave the file at the first byte of the tensors."""
    length = int.from_bytes(file.read(_LENGTH), "little")
    here = file.tell()
    if length > file.seek(0, 2) - here:
        raise ValueError
    file.seek(here)
    return file.read(length)


def _file_checksum(header: bytes, rest: BinaryIO) -> str:
    """Hash a header in which the checksum is blank, with its length, and the tensors after it."""
    digest = hashlib.sha256(len(header).to_bytes(_LENGTH, "little") + header)
    while block := rest.read(_BLOCK):
        digest.update(block)
    return digest.hexdigest()
