"""Text files of metadata, as the authors of data sets write them."""

from __future__ import annotations

from pathlib import Path

from benchmark.core.errors import BenchmarkError


def table(file: Path, columns: int, skip: int = 0) -> list[list[str]]:
    """The lines of a file of metadata, split at white space; the last column takes what is left over.

    Empty lines, white space at the ends of lines and a byte order mark are no part of them.

    Args:
        file: a text file in UTF-8.
        columns: how many there must be.
        skip: lines at the beginning that are no data.

    Raises:
        BenchmarkError: when the file cannot be read, or a line has fewer columns, naming it.
    """
    rows = []
    for number, line in enumerate(text_of(file).split("\n")[skip:], start=skip + 1):
        if line.strip():
            row = line.strip().split(maxsplit=columns - 1)
            if len(row) != columns:
                raise BenchmarkError(
                    f"{file}, line {number}: {columns} columns belong there, not '{line.strip()}'; "
                    "unpack the archive again."
                )
            rows.append(row)
    return rows


def text_of(file: Path) -> str:
    """The text of a file in UTF-8.

    Raises:
        BenchmarkError: when it cannot be read or is no text.
    """
    try:
        return file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not a text file"
        raise BenchmarkError(f"{file} cannot be read: {reason}; unpack the archive again.") from None


def number(text: str, file: Path) -> int:
    """A whole number of a file of metadata.

    Raises:
        BenchmarkError: when it is none.
    """
    try:
        return int(text)
    except ValueError:
        raise BenchmarkError(f"{file}: '{text}' is not a whole number; unpack the archive again.") from None
