"""What an archive may unpack to: nothing outside of its folder, and no more than a data set can be."""

from __future__ import annotations

import stat
import tarfile
import zipfile
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Protocol

from benchmark.core.errors import BenchmarkError

RATIO = 20
"""Bytes that a byte of an archive may unpack to on average; photographs unpack to 1, drawings to 3."""
LEAST = 2**28
"""Bytes that any archive may unpack to, however small it is."""
MOST_FILES = 2_000_000
"""Files and folders that an archive may hold; the largest data set has 120,000."""


class Seekable(Protocol):
    """A stream of bytes that can be read from any place."""

    def read(self, size: int = -1, /) -> bytes:
        """Read some bytes."""

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Move to a place, and return it."""

    def tell(self) -> int:
        """Return the place."""


class Allowance:
    """What is left of the size and the number of files that an archive may unpack to.

    Args:
        archive: the file, whose size the limit is a multiple of.
    """

    def __init__(self, archive: Path) -> None:
        self._archive = archive
        self._bytes = self._limit = max(LEAST, RATIO * archive.stat().st_size)
        self._files = MOST_FILES

    def take(self, size: int, files: int = 0) -> None:
        """Count bytes and files that are about to be unpacked.

        Raises:
            BenchmarkError: when the archive holds more than it may.
        """
        self._bytes -= size
        self._files -= files
        if self._bytes < 0:
            self._refuse(f"to more than {self._limit:,} bytes, {RATIO} times its own size or more")
        if self._files < 0:
            self._refuse(f"to more than {MOST_FILES:,} files")

    def _refuse(self, what: str) -> None:
        raise BenchmarkError(
            f"The archive {self._archive} is refused: it unpacks {what}, as no data set does. Delete it, and "
            "download it again."
        )

    def take_zipped(self, member: zipfile.ZipInfo) -> None:
        """Count a file of a zip.

        Raises:
            BenchmarkError: when the archive holds more than it may.
            ValueError: when the file is a link, or would lie outside of the folder.
        """
        self.take(member.file_size, files=1)
        if stat.S_ISLNK(member.external_attr >> 16):
            raise ValueError(f"it holds a link, {member.filename!r}")
        path = PurePosixPath(member.filename)
        if path.is_absolute() or PureWindowsPath(member.filename).drive or ".." in path.parts:
            raise ValueError(f"the path {member.filename!r} leads out of its folder")

    def take_tarred(self, member: tarfile.TarInfo) -> None:
        """Count a file of a tar; `tarfile.data_filter` refuses what leads out of the folder.

        Raises:
            BenchmarkError: when the archive holds more than it may.
        """
        self.take(member.size, files=1)


class LimitedStream:
    """A decompressed stream that may be read from only as far as an archive may unpack.

    It counts what is read, headers and padding too, which files do not count.

    Args:
        stream: the stream.
        allowance: counts the bytes, apart from those of files.
    """

    def __init__(self, stream: Seekable, allowance: Allowance) -> None:
        self._stream = stream
        self._allowance = allowance
        self._farthest = 0

    def read(self, size: int = -1) -> bytes:
        """Read some bytes.

        Raises:
            BenchmarkError: when the stream is longer than the archive may unpack to.
        """
        data = self._stream.read(size)
        self._count()
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move to a place, at which what lies before has been decompressed.

        Raises:
            BenchmarkError: when the stream is longer than the archive may unpack to.
        """
        place = self._stream.seek(offset, whence)
        self._count()
        return place

    def tell(self) -> int:
        """Return the place in the stream."""
        return self._stream.tell()

    def _count(self) -> None:
        here = self._stream.tell()
        if here > self._farthest:
            self._allowance.take(here - self._farthest)
            self._farthest = here
