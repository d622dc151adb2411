"""Fetching data sets, on request alone."""

from __future__ import annotations

import contextlib
import hashlib
import sys
import urllib.error
import urllib.request
from collections.abc import Iterable
from pathlib import Path

from rich.console import Console
from rich.progress import DownloadColumn, Progress, TransferSpeedColumn

from benchmark.core.errors import BenchmarkError
from benchmark.data.base import Dataset, Folders

_TIMEOUT = 30
_BLOCK = 2**20


def download_missing(datasets: Iterable[Dataset], folders: Folders) -> None:
    """Fetches those of some data sets that are not here.

    Raises:
        UsageError: when one cannot be fetched by a program.
        BenchmarkError: when one did not come whole.
    """
    for dataset in datasets:
        if dataset.missing(folders):
            dataset.download(folders)


def fetch(url: str, to: Path, md5: str) -> None:
    """Fetches a file, with a progress bar on stderr; it appears under its name when it is whole.

    Args:
        url: where it is.
        to: where it is put; the folder is made.
        md5: the checksum that it must have.

    Raises:
        BenchmarkError: when it cannot be fetched or written, or has another checksum.
    """
    part = to.with_name(f".{to.name}.part")
    digest = hashlib.md5(usedforsecurity=False)
    bar = Progress(
        *Progress.get_default_columns(),
        DownloadColumn(),
        TransferSpeedColumn(),
        console=Console(file=sys.stderr),
        disable=not sys.stderr.isatty(),
    )
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        with urllib.request.urlopen(url, timeout=_TIMEOUT) as answer, part.open("wb") as file, bar:
            task = bar.add_task(to.name, total=int(answer.headers.get("Content-Length") or 0) or None)
            while block := answer.read(_BLOCK):
                file.write(block)
                digest.update(block)
                bar.advance(task, len(block))
        if digest.hexdigest() != md5:
            raise BenchmarkError(f"What came from {url} has another checksum than it should: try again.")
        part.replace(to)
    except (OSError, ValueError) as error:  # URLError is an OSError
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
        raise BenchmarkError(f"{url} cannot be fetched to {to}: {reason}.") from None
    finally:
        with contextlib.suppress(OSError):  # it is gone when all went well
            part.unlink()
