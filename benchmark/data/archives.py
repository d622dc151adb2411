"""Archives as they were downloaded, unpacked once into the cache."""

from __future__ import annotations

import shutil
import sys
import tarfile
import uuid
import zipfile
from pathlib import Path

from benchmark.core.errors import BenchmarkError
from benchmark.data.cache import fingerprint


def unpacked(archive: Path, cache: Path) -> Path:
    """The folder that an archive (.zip, .tar, .tgz, .tar.gz) was unpacked into, once.

    It appears whole or not at all. Names and links that lead out of the folder, and devices, are refused.

    Args:
        archive: the file.
        cache: the folder is made in here, by the archive's path, size and time of modification.

    Raises:
        BenchmarkError: when the archive is damaged or cut off, or the cache cannot be written.
    """
    try:
        stat = archive.stat()
        folder = cache / "unpacked" / fingerprint(str(archive.resolve()), stat.st_size, stat.st_mtime_ns)
        if not folder.is_dir():
            sys.stderr.write(f"Unpacking {archive} ...\n")
            _unpack(archive, folder)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, RuntimeError, ValueError) as error:
        raise BenchmarkError(
            f"The archive {archive} is damaged or was cut off ({error}); download it again."
        ) from None
    except OSError as error:
        # zlib's errors at the end of a file that was cut off are OSErrors, too, without a file's name.
        raise BenchmarkError(
            f"The archive {archive} cannot be unpacked: {error.strerror or error}; is it whole?"
        ) from None
    return folder


def _unpack(archive: Path, folder: Path) -> None:
    temporary = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}")
    temporary.mkdir(parents=True)
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as opened:
                opened.extractall(temporary)  # drops drives, roots and dots from names
        else:
            with tarfile.open(archive) as opened_tar:
                opened_tar.extractall(temporary, filter="data")
        if not folder.is_dir():  # another process may have been faster
            temporary.replace(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
