"""Processes that embed the images of a folder alone, in a Python that has run nothing else."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from benchmark.core.interrupts import interrupts_held
from benchmark.core.source import ROOT

EmbedAlone = Callable[[Path, float], tuple[int | None, str]]
"""Embeds the images of a folder in a process that has nothing else, in at most so many seconds; returns its
exit code, None where it took longer, and what it wrote to stderr (see `benchmark.jobs.isolation`)."""

PROCESS = "benchmark.jobs.isolated_process"
"""The module that embeds one folder."""

_ZYGOTE = "benchmark.jobs.zygote"
"""The module whose process forks one for each folder."""

WORDS = "words.txt"
"""The file of the folder that takes what a forked process writes to stderr."""


def start_process(folder: Path, patience: float) -> tuple[int | None, str]:
    """Embeds the images of a folder in a new process, as `EmbedAlone`, which imports the project first."""
    with interrupts_held(signal.SIGTERM):
        process = subprocess.Popen(
            [sys.executable, "-m", PROCESS, str(folder)],
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
    with process:
        try:
            _, words = process.communicate(timeout=patience)
        except subprocess.TimeoutExpired:
            process.kill()
            return None, ""
        except BaseException:
            process.kill()
            raise
    return process.returncode, words


class ForkedProcesses:
    """Embeds the images of folders, as `EmbedAlone`, each in a process that is forked from a zygote.

    The zygote is a Python of its own, started at the first folder, which has nothing of this process's memory
    and random numbers, and another seed of hashes. It ends with this process. Where there is no fork, or the
    zygote does not answer, a new process is started for the folder.
    """

    def __init__(self) -> None:
        self._zygote: subprocess.Popen[str] | None = None

    def __enter__(self) -> ForkedProcesses:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def __call__(self, folder: Path, patience: float) -> tuple[int | None, str]:
        """Embeds the images of a folder; returns the exit code and what was written to stderr."""
        answer = self._ask(json.dumps([str(folder), patience])) if hasattr(os, "fork") else ""
        try:
            code: int | None = json.loads(answer)
        except ValueError:  # it has died, or something else writes to its stdout
            self._end()
            return start_process(folder, patience)
        words = ""
        with suppress(OSError):  # it was ended before it wrote any
            words = (folder / WORDS).read_text(errors="replace")
        return code, words

    def _ask(self, request: str) -> str:
        """Returns the zygote's answer, a line; empty where it has died."""
        if self._zygote is None:
            with interrupts_held(signal.SIGTERM):
                self._zygote = subprocess.Popen(
                    [sys.executable, "-m", _ZYGOTE],
                    env=_environment(),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    text=True,
                )
        assert self._zygote.stdin is not None and self._zygote.stdout is not None
        with suppress(BrokenPipeError):
            self._zygote.stdin.write(request + "\n")
            self._zygote.stdin.flush()
            return self._zygote.stdout.readline()
        return ""

    def _end(self) -> None:
        """Ends the zygote; the next folder starts another."""
        if self._zygote is not None:
            self._zygote.kill()
            self._zygote.communicate()
            self._zygote = None


def _environment() -> dict[str, str]:
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, "PYTHONPATH": path}
