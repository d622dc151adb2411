"""Draws figures into files, many of them in parallel processes; one that fails costs no other."""

from __future__ import annotations

import multiprocessing
import pickle
import signal
import tempfile
import warnings
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Protocol

from pebble import ProcessExpired, ProcessPool

from benchmark.core.interrupts import interrupts_held
from benchmark.report.style import svg_of

MANY = 24
"""Figures from which on processes are worth their start of some seconds."""


class Picture(Protocol):
    """Draws one file; it is sent to a process, with what it needs of the run by its side."""

    @property
    def path(self) -> Path:
        """The file."""

    def draw(self, source: object) -> str:
        """Draws the file, and those that belong to it.

        Args:
            source: what all pictures are drawn from.

        Returns:
            What the picture says, for readers who do not see it; empty where there was nothing to draw.
        """


@dataclass(frozen=True)
class Drawn:
    """What became of a picture.

    Attributes:
        there: whether there is a file.
        failure: why it could not be drawn, in one line; empty where it could, or had nothing to draw.
        alt: what it says, for readers who do not see it.
    """

    there: bool
    failure: str = ""
    alt: str = ""


def draw_all(pictures: Sequence[Picture], source: object, workers: int = 1) -> dict[Path, Drawn]:
    """Draws pictures, and says what became of each.

    Args:
        pictures: the pictures.
        source: what they are drawn from; it can be pickled.
        workers: number of processes where there are many pictures; with 1 this process draws all.
    """
    if workers > 1 and len(pictures) >= MANY:
        drawn = _by_processes(pictures, source, workers)
        if drawn is not None:
            return drawn
    return {picture.path: _draw(picture, source) for picture in pictures}


def _draw(picture: Picture, source: object) -> Drawn:
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph .* missing from")  # it is drawn as a box
            alt = picture.draw(source)
            return Drawn(bool(alt), alt=alt)
    except Exception as error:  # whatever it is, it must cost no more than this picture
        # Pages show the reason, and no path of this machine.
        what = error.strerror if isinstance(error, OSError) and error.strerror else error
        return _failed(picture, f"{type(error).__name__}: {what}")


def _failed(picture: Picture, reason: str) -> Drawn:
    for path in (picture.path, svg_of(picture.path)):
        with suppress(OSError):  # a folder that cannot be written must cost no more than its pictures
            path.unlink(missing_ok=True)  # of an earlier report, which does not show these records
    return Drawn(False, " ".join(reason.split()))


def _by_processes(pictures: Sequence[Picture], source: object, workers: int) -> dict[Path, Drawn] | None:
    """Draws pictures in processes; None where processes cannot be started."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "source.pickle"
        file.write_bytes(pickle.dumps(source))
        # Spawned, not forked: this process may have threads, and its path is what the others import from.
        context = multiprocessing.get_context("spawn")
        pool = ProcessPool(workers, context=context, initializer=_ignore_interrupts)
        try:
            with interrupts_held():  # by the threads of the pool, and so by its processes
                ready = pool.schedule(_is_ready, args=(file,))
            ready.result()
        except Exception:  # as in a script whose main module cannot be imported
            pool.stop()
            pool.join()
            return None
        try:
            drawing = [(one, pool.schedule(_draw_from, args=(one, file))) for one in pictures]
            found = {one.path: _result(one, future) for one, future in drawing}
            pool.close()
        finally:
            pool.stop()
            pool.join()
    return found


def _result(picture: Picture, future: Future[Drawn]) -> Drawn:
    try:
        return future.result()
    except ProcessExpired as error:
        return _failed(picture, f"the process that drew it died (exit code {error.exitcode}); out of memory?")
    except Exception as error:  # what could not travel between the processes
        return _failed(picture, f"{type(error).__name__}: {error}")


def _draw_from(picture: Picture, file: Path) -> Drawn:
    return _draw(picture, _source(file))


def _is_ready(file: Path) -> bool:
    return _source(file) is not None


@cache
def _source(file: Path) -> object:
    return pickle.loads(file.read_bytes())


def _ignore_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles Ctrl-C
