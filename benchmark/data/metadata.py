"""Readers of the text files of metadata that come with data sets."""

from __future__ import annotations

from pathlib import Path

from benchmark.core.errors import BenchmarkError


def table(file: Path, columns: int, skip: int = 0) -> list[list[str]]:
    """Read the lines of a metadata file, split at white space; the last column takes the rest of the line.

    Empty lines, white space at the ends of lines and a byte order mark are dropped.

    Args:
        file: a text file in UTF-8.
        columns: the required number of columns.
        skip: the number of header lines.

    Raises:
        BenchmarkError: when the file cannot be read, or a line has fewer columns; it names the line.
    """
    rows = []
    for number, line in enumerate(text_of(file).split("\n")[skip:], start=skip + 1):
        if line.strip():
            row = line.strip().split(maxsplit=columns - 1)
            if len(row) != columns:
                raise BenchmarkError(
                    f"{file}, line {number}: expected {columns} columns, found '{line.strip()}'; "
                    "unpack the archive again."
                )
            rows.append(row)
    return rows


def text_of(file: Path) -> str:
    """Read a text file in UTF-8.

    Raises:
        BenchmarkError: when it cannot be read or is not text.
    """
    try:
        return file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not a text file"
        raise BenchmarkError(f"{file} cannot be read: {reason}; unpack the archive again.") from None


def number(text: str, file: Path) -> int:
    """Parse an integer of a metadata file.

    Raises:
        BenchmarkError: when the text is not an integer.
    """
    try:
        return int(text)
    except ValueError:
        raise BenchmarkError(f"{file}: '{text}' is not an integer; unpack the archive again.") from None
