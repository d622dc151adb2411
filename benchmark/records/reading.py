"""Reading stored records: each is checked against its checksum, its name and the ranges of its values."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from benchmark.core.errors import CheckpointError, DamagedFileError
from benchmark.core.files import set_aside, write_atomically
from benchmark.core.sealed import UnsealedFileError, open_record, read_json, seal_record
from benchmark.records.record import Record

R = TypeVar("R", bound=Record)

UNCHECKED_PROTOCOLS = frozenset({"1", "2", "3", "4"})
"""Versions of the protocol whose records carry no checksum; they are believed without one."""


def read_record(path: Path, kind: type[R]) -> R:
    """Read a record of a kind.

    Raises:
        FileNotFoundError: when there is none.
        DamagedFileError: when it is not what was written, or holds values that cannot be.
        UnreadableFileError: when it cannot be read.
    """
    try:
        content = open_record(path)
    except UnsealedFileError:
        content = read_json(path)
        if _protocol(content) not in UNCHECKED_PROTOCOLS:
            raise
    try:
        record = kind.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise DamagedFileError(path, f"{where}: {first['msg']}" if where else first["msg"]) from None
    if reason := record.impossible():
        raise DamagedFileError(path, reason)
    return record


def is_unchecked(path: Path) -> bool:
    """Whether the record at a path is of a version of the protocol that wrote no checksums, and has none."""
    try:
        open_record(path)
    except UnsealedFileError:
        return _protocol(read_json(path)) in UNCHECKED_PROTOCOLS
    except (CheckpointError, OSError):
        return False
    return False


def write_record(path: Path, record: Record) -> None:
    """Write a record atomically, with its checksum; a folder in its place is set aside.

    Raises:
        ValueError: when a number in it is not finite.
        StorageFullError: when the disk is full.
        OSError: when it cannot be written.
    """
    text = seal_record(record.model_dump(mode="json"), path)
    if path.is_dir():
        set_aside(path, "a folder is in its place")
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def _protocol(content: dict[str, Any]) -> object:
    provenance = content.get("provenance")
    return provenance.get("protocol") if isinstance(provenance, dict) else None
