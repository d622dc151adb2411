"""Downloads of data sets, only on request."""

from __future__ import annotations

import hashlib
import http.client
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from rich.progress import DownloadColumn, TransferSpeedColumn

from benchmark.core.errors import BenchmarkError, UsageError
from benchmark.core.progress_bar import progress_bar
from benchmark.data.base import Dataset, Folders

_TIMEOUT = 30  # seconds without a byte
_BLOCK = 2**20
_AGENT = {"User-Agent": "dml-robustness-benchmark"}  # some servers refuse Python's own


def can_download(dataset: Dataset) -> bool:
    """Return whether the data set can be downloaded by a program."""
    return type(dataset).download is not Dataset.download


def download_missing(datasets: Iterable[Dataset], folders: Folders) -> None:
    """Download the missing ones of some data sets, provided that all of them can be downloaded.

    Raises:
        UsageError: when one cannot be downloaded by a program; nothing is downloaded then.
        BenchmarkError: when a download is incomplete or damaged.
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
            raise BenchmarkError(f"The data set '{dataset.spec}' was downloaded, but is incomplete: {reason}")


def fetch(url: str, to: Path, md5: str) -> None:
    """Download a file, with a progress bar on stderr; it gets its name when it is complete.

    When the connection breaks, the part received is kept beside it as `NAME.part`, and the next call resumes
    from there. A file that exists and has the checksum is not downloaded again.

    Args:
        url: the address.
        to: the path of the file; its folder is created.
        md5: the checksum that it must have.

    Raises:
        BenchmarkError: when it cannot be downloaded or written, or has another checksum.
    """
    part = to.with_name(f"{to.name}.part")
    try:
        if to.is_file() and _md5(to) == md5:
            return
        to.parent.mkdir(parents=True, exist_ok=True)
        if not _fetch(url, part) and _md5(part) != md5:
            part.unlink()  # at least as long as the server's file, but another one
            _fetch(url, part)
        if _md5(part) != md5:
            part.unlink()
            raise BenchmarkError(
                f"The file from {url} has the wrong checksum and was deleted. Try again, or save the file as "
                f"{to} by hand."
            )
        part.replace(to)
    except OSError as error:  # of the disk: `_blocks` reports those of the connection
        raise BenchmarkError(f"{to} cannot be written: {error.strerror or error}.") from None


def _fetch(url: str, part: Path) -> bool:
    """Append the missing rest to `part`; return False where the server has nothing more."""
    have = part.stat().st_size if part.is_file() else 0
    bar = progress_bar(DownloadColumn(), TransferSpeedColumn(), transient=False)
    opened = _answer(url, part, have)
    if opened is None:
        return False
    with opened as answer, bar:
        # A server that cannot resume sends the whole file again.
        have = have if answer.status == http.HTTPStatus.PARTIAL_CONTENT else 0
        length = answer.headers.get("Content-Length")
        total = have + int(length) if length else None
        task = bar.add_task(part.stem, total=total, completed=have)
        with part.open("ab" if have else "wb") as file:
            for block in _blocks(answer, url, part):
                file.write(block)
                bar.advance(task, len(block))
        if total is not None and part.stat().st_size < total:
            raise _interrupted(url, part, "the connection was interrupted")
    return True


def _answer(url: str, part: Path, have: int) -> http.client.HTTPResponse | None:
    """Request what follows the bytes received so far; None where the server has nothing more."""
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
            f"{url} cannot be downloaded: the server answers {error.code} {error.reason}. Save the file as "
            f"{part.with_suffix('')} by hand."
        ) from None
    except (OSError, http.client.HTTPException) as error:
        raise _interrupted(url, part, f"{getattr(error, 'reason', None) or error}") from None


def _blocks(answer: BinaryIO | http.client.HTTPResponse, url: str, part: Path) -> Iterator[bytes]:
    try:
        while block := answer.read(_BLOCK):
            yield block
    except (OSError, http.client.HTTPException) as error:
        raise _interrupted(url, part, f"{error}") from None


def _interrupted(url: str, part: Path, reason: str) -> BenchmarkError:
    return BenchmarkError(
        f"{url} cannot be downloaded: {reason}. Try again (the part received is kept), or save the file as "
        f"{part.with_suffix('')} by hand."
    )


def _md5(file: Path) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with file.open("rb") as opened:
        while block := opened.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
