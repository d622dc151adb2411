"""Archives as they were downloaded, unpacked once into the cache."""

from __future__ import annotations

import gzip
import os
import shutil
import sys
import tarfile
import tempfile
import zipfile
import zlib
from pathlib import Path

from benchmark.core.errors import BenchmarkError
from benchmark.core.files import UNFINISHED, remove_unfinished
from benchmark.data.cache import fingerprint

_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_GZIP = b"\x1f\x8b"
_TAR = b"ustar"
_TAR_AT = 257
_BLOCK = 2**20
_DAMAGE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    gzip.BadGzipFile,
    zlib.error,
    EOFError,
    RuntimeError,
    ValueError,
)


def is_archive(file: Path) -> bool:
    """Whether a file begins as a .zip, .tar, .tgz or .tar.gz does; an empty one or a web page does not.

    Raises:
        BenchmarkError: when it cannot be read.
    """
    head = _head(file)
    return head.startswith((*_ZIP, _GZIP)) or head[_TAR_AT:].startswith(_TAR)


def lists(file: Path, beginning: str) -> bool:
    """Whether a zip holds a file whose name begins so, as its table of contents tells; False for others."""
    try:
        with zipfile.ZipFile(file) as opened:
            return any(name.startswith(beginning) for name in opened.namelist())
    except (OSError, *_DAMAGE):
        return False


def unpacked_before(archive: Path, cache: Path) -> Path | None:
    """The folder that `unpacked` made of an archive, or None when it was not called yet."""
    folder = _place(archive, cache)
    return folder if folder.is_dir() else None


def unpacked(archive: Path, cache: Path) -> Path:
    """The folder that an archive (.zip, .tar, .tgz, .tar.gz) was unpacked into, once.

    It appears whole or not at all, so several processes may ask for it at once. Names and links that lead out
    of the folder, and devices, are refused.

    Args:
        archive: the file.
        cache: the folder is made in here, by the archive's path, size and time of modification.

    Raises:
        BenchmarkError: when the archive is damaged or cut off, or the cache cannot be written.
    """
    try:
        folder = _place(archive, cache)
        if not folder.is_dir():
            sys.stderr.write(f"Unpacking {archive} ...\n")
            _unpack(archive, folder)
    except _DAMAGE as error:
        raise BenchmarkError(
            f"The archive {archive} is damaged or was cut off ({error}): delete it, and get it again."
        ) from None
    except OSError as error:
        raise BenchmarkError(
            f"The archive {archive} cannot be unpacked into {cache}: {error.strerror or error}."
        ) from None
    return folder


def _place(archive: Path, cache: Path) -> Path:
    stat = archive.stat()
    return cache / "unpacked" / fingerprint(str(archive.resolve()), stat.st_size, stat.st_mtime_ns)


def _head(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            return opened.read(_TAR_AT + len(_TAR))
    except OSError as error:
        raise BenchmarkError(f"{file} cannot be read: {error.strerror or error}.") from None


def _unpack(archive: Path, folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    remove_unfinished(folder.parent)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=UNFINISHED))
    inside = temporary / "whole"
    inside.mkdir()
    try:
        head = _head(archive)
        if head.startswith(_ZIP):
            _unzip(archive, inside)
        elif head.startswith(_GZIP):
            with gzip.open(archive) as stream:
                with tarfile.open(fileobj=stream, mode="r:") as opened:
                    _extract(opened, inside)
                # The checksum of the whole comes last, and is compared only when the end was read.
                while stream.read(_BLOCK):
                    pass
        else:
            with tarfile.open(archive, mode="r:") as opened:
                _extract(opened, inside)
        try:
            inside.replace(folder)
        except OSError:
            if not folder.is_dir():  # else another process was faster
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _unzip(archive: Path, folder: Path) -> None:
    with zipfile.ZipFile(archive) as opened:
        for member in opened.infolist():
            opened.extract(member, folder)  # drops drives, roots and dots from names
            os.utime(folder.parent)  # so that it is not taken for what a killed process has left


def _extract(opened: tarfile.TarFile, folder: Path) -> None:
    def safe(member: tarfile.TarInfo, path: str) -> tarfile.TarInfo | None:
        os.utime(folder.parent)
        return tarfile.data_filter(member, path)

    opened.extractall(folder, filter=safe)
