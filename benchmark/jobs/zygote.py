"""A process that forks one for each folder of images: `python -m ...`, which requests come to on stdin.

Its children find Python as it was once the project was imported, and need not import it again.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import select
import signal
import sys
import time
from pathlib import Path
from typing import NoReturn

import torch.utils.flop_counter  # noqa: F401 - each child would import it

from benchmark.core.interrupts import leave_signals_to_parent
from benchmark.jobs.isolated_process import embed_folder
from benchmark.jobs.isolated_start import WORDS

_PATIENCE = 0.2
"""Seconds between two looks at a child, at most."""
_MOMENT = 0.002
"""Seconds until a child that is ending has ended."""


def serve() -> None:
    """Forks a child for each request, until stdin is closed, and answers on stdout with its exit code.

    A request is a line of JSON: the folder (see `embed_folder`) and the seconds that the child may take. So
    is the answer; null says that the child took longer and was ended.
    """
    for line in sys.stdin:
        folder, patience = json.loads(line)
        reads, writes = os.pipe()  # closed with the child, however it ends
        child = os.fork()
        if not child:
            leave_signals_to_parent()
            os.close(reads)
            _embed(Path(folder))
        os.close(writes)
        code = _code_of(child, reads, patience)
        os.close(reads)
        sys.stdout.write(json.dumps(code) + "\n")
        sys.stdout.flush()


def _code_of(child: int, ended: int, patience: float) -> int | None:
    """Waits for a child, and ends it where it takes too long or nobody waits for the answer any more."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        # What the child started may hold `ended` open, and the child itself may close it.
        first, _, _ = select.select([ended, sys.stdin], [], [], _PATIENCE)
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        if sys.stdin in first:
            break
        if ended in first:
            time.sleep(_MOMENT)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def _embed(folder: Path) -> NoReturn:
    """Embeds the images of a folder, and ends this process, which reads nothing; its stderr is a file."""
    nothing = os.open(os.devnull, os.O_RDWR)
    words = os.open(folder / WORDS, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for target, source in enumerate((nothing, nothing, words)):
        os.dup2(source, target)
    os.close(nothing)
    os.close(words)
    embed_folder(folder)
    # Python would go on to take apart all that was imported, which takes longer than the rest.
    atexit._run_exitfuncs()
    os._exit(0)


if __name__ == "__main__":
    gc.freeze()  # what the children share, they need not look through
    serve()
