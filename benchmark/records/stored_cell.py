"""What a report finds of a cell on disk: its record, the names of its arrays, or the damage."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError, safe_open

from benchmark.core.errors import DamagedFileError, UnreadableFileError
from benchmark.core.sealed import UnsealedFileError, check_tensors
from benchmark.records.cell import CellRecord
from benchmark.records.reading import is_unchecked, read_record


@dataclass(frozen=True)
class StoredCell:
    """What a report finds of a cell on disk.

    Attributes:
        record: None when there is none that can be used.
        arrays: the names of its arrays; empty where the cell is not done.
        damage: why what is there cannot be used, without naming a folder; empty when it can, or when there is
            nothing.
    """

    record: CellRecord | None = None
    arrays: frozenset[str] = frozenset()
    damage: str = ""


def examined(record_path: Path, arrays_path: Path) -> StoredCell:
    """Reads the record of a cell, and checks the arrays that it names; renames nothing."""
    what = "record is"
    try:
        record = read_record(record_path, CellRecord)
        if record.status != "done":
            return StoredCell(record)
        what = "arrays are"
        arrays = _array_names(record_path, arrays_path)
    except FileNotFoundError:
        return StoredCell()
    except UnreadableFileError as error:
        return StoredCell(damage=f"{error.path.parent.name}/{error.path.name} cannot be read: {error.reason}")
    except DamagedFileError as error:
        noun, verb = what.split()
        return StoredCell(damage=f"its {noun} on disk {verb} damaged: {error.reason}")
    if missing := sorted(set(record.arrays) - arrays):
        return StoredCell(damage=f"its arrays on disk lack {', '.join(missing)}")
    return StoredCell(record, arrays)


def _array_names(record_path: Path, path: Path) -> frozenset[str]:
    """The names of a cell's arrays, which are as they were written; empty when it has none."""
    try:
        return check_tensors(path)
    except FileNotFoundError:
        return frozenset()
    except UnsealedFileError:
        if not is_unchecked(record_path):
            raise
    try:
        with safe_open(path, framework="numpy") as file:
            return frozenset(file.keys())
    except (SafetensorError, OSError) as error:
        raise DamagedFileError(path, str(error).split("\n", 1)[0]) from None
