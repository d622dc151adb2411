"""Fetching data sets, on request alone."""

from __future__ import annotations

import hashlib
import http.client
import sys
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from rich.console import Console
from rich.progress import DownloadColumn, Progress, TransferSpeedColumn

from benchmark.core.errors import BenchmarkError, UsageError
from benchmark.data.base import Dataset, Folders

_TIMEOUT = 30  # seconds without a byte
_BLOCK = 2**20
_AGENT = {"User-Agent": "dml-robustness-benchmark"}  # some servers refuse Python's own


def can_download(dataset: Dataset) -> bool:
    """Whether a program can fetch the data set."""
    return type(dataset).download is not Dataset.download


def download_missing(datasets: Iterable[Dataset], folders: Folders) -> None:
    """Fetches those of some data sets that are not here, if all of them can be fetched.

    Raises:
        UsageError: when one cannot be fetched by a program; then nothing is fetched.
        BenchmarkError: when one did not come whole.
    """
    wanted = []
    for dataset in {dataset.spec: dataset for dataset in datasets}.values():
        if reason := dataset.missing(folders):
            if not can_download(dataset):
                raise UsageError(f"--download cannot fetch '{dataset.spec}': {reason}")
            wanted.append(dataset)
    for dataset in wanted:
        dataset.download(folders)
        if reason := dataset.missing(folders):
            raise BenchmarkError(f"The data set '{dataset.spec}' was fetched, but is not whole: {reason}")


def fetch(url: str, to: Path, md5: str) -> None:
    """Fetches a file, with a progress bar on stderr; it appears under its name when it is whole.

    What came before a connection broke is kept beside it, as `NAME.part`, and the next call goes on from
    there. A file that is there and has the checksum is not fetched again.

    Args:
        url: where it is.
        to: where it is put; the folder is made.
        md5: the checksum that it must have.

    Raises:
        BenchmarkError: when it cannot be fetched or written, or has another checksum.
    """
    part = to.with_name(f"{to.name}.part")
    try:
        if to.is_file() and _md5(to) == md5:
            return
        to.parent.mkdir(parents=True, exist_ok=True)
        if not _fetch(url, part) and _md5(part) != md5:
            part.unlink()  # it is as long as what is there, or longer, and yet another file
            _fetch(url, part)
        if _md5(part) != md5:
            part.unlink()
            raise BenchmarkError(
                f"What came from {url} has another checksum than it should; nothing was kept. Try again, or "
                f"put the file to {to} by hand."
            )
        part.replace(to)
    except OSError as error:  # of the disk: those of the connection are told by `_blocks`
        raise BenchmarkError(f"{to} cannot be written: {error.strerror or error}.") from None


def _fetch(url: str, part: Path) -> bool:
    """Appends to `part` what is lacking of it; False where the server has nothing more."""
    have = part.stat().st_size if part.is_file() else 0
    columns = (*Progress.get_default_columns(), DownloadColumn(), TransferSpeedColumn())
    bar = Progress(*columns, console=Console(file=sys.stderr), disable=not sys.stderr.isatty())
    opened = _answer(url, part, have)
    if opened is None:
        return False
    with opened as answer, bar:
        # A server that does not know how to go on sends the whole again.
        have = have if answer.status == http.HTTPStatus.PARTIAL_CONTENT else 0
        length = answer.headers.get("Content-Length")
        total = have + int(length) if length else None
        task = bar.add_task(part.stem, total=total, completed=have)
        with part.open("ab" if have else "wb") as file:
            for block in _blocks(answer, url, part):
                file.write(block)
                bar.advance(task, len(block))
        if total is not None and part.stat().st_size < total:
            raise _broken(url, part, "the connection was cut off")
    return True


def _answer(url: str, part: Path, have: int) -> http.client.HTTPResponse | None:
    """The server's answer, asked for what comes after the bytes that are here; None where nothing does."""
    headers = _AGENT | ({"Range": f"bytes={have}-"} if have else {})
    try:
        answer: http.client.HTTPResponse = urllib.request.urlopen(
            urllib.request.Request(url, headers=headers), timeout=_TIMEOUT
        )
        return answer
    except urllib.error.HTTPError as error:
        error.close()
        if have and error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return None
        raise BenchmarkError(
            f"{url} cannot be fetched: the server says {error.code} {error.reason}. Put the file to "
            f"{part.with_suffix('')} by hand."
        ) from None
    except (OSError, http.client.HTTPException) as error:
        raise _broken(url, part, f"{getattr(error, 'reason', None) or error}") from None


def _blocks(answer: BinaryIO | http.client.HTTPResponse, url: str, part: Path) -> Iterator[bytes]:
    try:
        while block := answer.read(_BLOCK):
            yield block
    except (OSError, http.client.HTTPException) as error:
        raise _broken(url, part, f"{error}") from None


def _broken(url: str, part: Path, reason: str) -> BenchmarkError:
    return BenchmarkError(
        f"{url} cannot be fetched: {reason}. Try again (what came is kept), or put the file to "
        f"{part.with_suffix('')} by hand."
    )


def _md5(file: Path) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with file.open("rb") as opened:
        while block := opened.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
