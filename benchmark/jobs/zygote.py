"""A process that stays as it was before the first job, and forks one for each folder of images."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from pathlib import Path

from benchmark.jobs.isolated_process import embed_folder

TOO_LATE = None
"""The exit code of a process that has taken too long."""

_WORDS = "words.txt"
"""The file of the folder that takes what the process writes to stderr."""


class Zygote:
    """Forks processes that have imported the project and know nothing of any job.

    It is forked itself when it is made, so it has what this process has then: make it before the first job,
    and before any thread. It ends with this process, and so does what it has forked.

    Args:
        unwanted: a connection that it closes, so that its other end notices when this process ends.

    Raises:
        OSError: when no process can be forked.
    """

    def __init__(self, unwanted: Connection | None = None) -> None:
        self._connection, theirs = Pipe()
        if os.fork():
            theirs.close()
            return
        try:
            self._connection.close()
            if unwanted is not None:
                unwanted.close()
            _serve(theirs)
        finally:
            os._exit(0)

    def __call__(self, folder: Path, patience: float) -> tuple[int | None, str]:
        """Embeds the images of a folder (see `embed_folder`) in a new process.

        Args:
            folder: as `IsolatedModel` fills it.
            patience: seconds that it may take; it is ended after them.

        Returns:
            Its exit code, `TOO_LATE` where it took too long, and what it wrote to stderr.

        Raises:
            OSError, EOFError: when the zygote has ended.
        """
        self._connection.send((str(folder), patience))
        code: int | None = self._connection.recv()
        return code, (folder / _WORDS).read_text(errors="replace")


def _serve(connection: Connection) -> None:
    """Forks a process for each folder that comes, until the other end is closed."""
    while True:
        try:
            folder, patience = connection.recv()
        except (EOFError, OSError):
            return
        try:
            code = _run(Path(folder), patience, connection)
        except OSError as error:
            code = 1
            (Path(folder) / _WORDS).write_text(str(error))
        with suppress(OSError):
            connection.send(code)


def _run(folder: Path, patience: float, connection: Connection) -> int | None:
    """Forks a process for a folder; ends it where it takes too long, or nobody waits for it any more."""
    ended, theirs = Pipe(duplex=False)  # closed by the end of the process, however it comes
    pid = os.fork()
    if not pid:
        connection.close()
        _become(folder)
    theirs.close()
    in_time = wait([ended, connection], patience) == [ended]
    ended.close()
    if not in_time:
        os.kill(pid, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return code if in_time else TOO_LATE


def _become(folder: Path) -> None:
    """Does the work of the forked process, and ends it."""
    code = 1
    try:
        _redirect(folder / _WORDS)
        embed_folder(folder)
        code = 0
    except SystemExit as error:  # a model may do anything
        code = _code_of(error)
    except BaseException:
        traceback.print_exc()
    finally:
        with suppress(Exception):
            sys.stderr.flush()
        os._exit(code)


def _code_of(error: SystemExit) -> int:
    """Returns the exit code that Python gives to this error, and writes its words."""
    if error.code is None or isinstance(error.code, int):
        return error.code or 0
    sys.stderr.write(f"{error.code}\n")
    return 1


def _redirect(words: Path) -> None:
    """Lets the process read nothing, and write to a file what it writes to stderr."""
    nothing = os.open(os.devnull, os.O_RDWR)
    written = os.open(words, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for target, source in ((0, nothing), (1, nothing), (2, written)):
        os.dup2(source, target)
