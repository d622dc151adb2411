"""Downloaded archives, unpacked once into the cache."""

from __future__ import annotations

import gzip
import os
import tarfile
import zipfile
import zlib
from pathlib import Path
from typing import BinaryIO, cast

from benchmark.core.errors import BenchmarkError
from benchmark.core.output import warn
from benchmark.core.unfinished import temporary_folder
from benchmark.data.archive_limits import Allowance, LimitedStream
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
    """Return whether a file begins as a .zip, .tar, .tgz or .tar.gz; an empty file or a web page does not.

    Raises:
        BenchmarkError: when it cannot be read.
    """
    head = _head(file)
    return head.startswith((*_ZIP, _GZIP)) or head[_TAR_AT:].startswith(_TAR)


def zip_contains(file: Path, prefix: str) -> bool:
    """Return whether a zip lists a file whose name begins with a prefix; False for other or damaged files."""
    try:
        with zipfile.ZipFile(file) as opened:
            return any(name.startswith(prefix) for name in opened.namelist())
    except (OSError, *_DAMAGE):
        return False


def already_unpacked(archive: Path, cache: Path) -> Path | None:
    """Return the folder that `unpacked` made from an archive, or None when it was not unpacked yet."""
    folder = _target(archive, cache)
    return folder if folder.is_dir() else None


def unpacked(archive: Path, cache: Path) -> Path:
    """Unpack an archive (.zip, .tar, .tgz, .tar.gz) unless it was unpacked before, and return the folder.

    The folder appears complete or not at all, so several processes may call this at once. Names and links
    that lead out of the folder, links in a .zip, and devices are refused, and so is what unpacks to more than
    a data set can be (see `archive_limits`).

    Args:
        archive: the file.
        cache: parent of the folder, whose name is a hash of the archive's path, size and modification time.

    Raises:
        BenchmarkError: when the archive is damaged, truncated or refused, or the cache cannot be written.
    """
    try:
        folder = _target(archive, cache)
        if not folder.is_dir():
            warn(f"Unpacking {archive} ...")
            _unpack(archive, folder)
    except _DAMAGE as error:
        raise BenchmarkError(
            f"The archive {archive} is damaged or truncated ({error}): delete it, and download it again."
        ) from None
    except OSError as error:
        raise BenchmarkError(
            f"The archive {archive} cannot be unpacked into {cache}: {error.strerror or error}."
        ) from None
    return folder


def _target(archive: Path, cache: Path) -> Path:
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
    with temporary_folder(folder.parent) as temporary:
        inside = temporary / "content"
        inside.mkdir()
        head = _head(archive)
        if head.startswith(_ZIP):
            _unzip(archive, inside)
        elif head.startswith(_GZIP):
            with gzip.open(archive) as compressed:
                stream = LimitedStream(compressed, Allowance(archive))
                with tarfile.open(fileobj=cast("BinaryIO", stream), mode="r:") as opened:
                    _extract(opened, inside, Allowance(archive))
                # The checksum is at the end of the stream, and is compared only when the end is read.
                while stream.read(_BLOCK):
                    pass
        else:
            with tarfile.open(archive, mode="r:") as opened:
                _extract(opened, inside, Allowance(archive))
        try:
            inside.replace(folder)
        except OSError:
            if not folder.is_dir():  # otherwise another process was faster
                raise


def _unzip(archive: Path, folder: Path) -> None:
    allowance = Allowance(archive)
    with zipfile.ZipFile(archive) as opened:
        for member in opened.infolist():  # before the first is written
            allowance.take_zipped(member)
        for member in opened.infolist():
            opened.extract(member, folder)
            os.utime(folder.parent)  # so that another machine does not take it for abandoned


def _extract(opened: tarfile.TarFile, folder: Path, allowance: Allowance) -> None:
    def safe(member: tarfile.TarInfo, path: str) -> tarfile.TarInfo | None:
        allowance.take_tarred(member)
        os.utime(folder.parent)
        return tarfile.data_filter(member, path)

    opened.extractall(folder, filter=safe)
