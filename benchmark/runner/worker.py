"""A worker process as its run sees it: its job, its log, and how it ended."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

from benchmark.core.processes import how_ended
from benchmark.jobs import Job, RunContext
from benchmark.jobs.job import log_file
from benchmark.runner.serve import DUMP

_DUMP_SECONDS = 1.0
"""Time for a worker that is about to be killed to write where it is."""

_UNKNOWN = 255
"""The exit code that is reported when the process that workers are forked from has ended itself."""


@dataclass
class Worker:
    """A worker process.

    Attributes:
        process: the process.
        connection: takes jobs and gives answers (see `serve`).
        job: the job that was sent last and has not ended.
        context: the context that it was sent with.
        begun: when the worker said that it has begun, by the monotonic clock.
    """

    process: BaseProcess
    connection: Connection
    job: Job | None = None
    context: RunContext | None = None
    begun: float | None = None

    def can_take(self, context: RunContext) -> bool:
        """Whether the worker is free, and has used no other device than a context's."""
        return self.job is None and (self.context is None or self.context.device == context.device)

    @property
    def overdue(self) -> float | None:
        """Seconds since the job should have ended, negative before; None without a limit."""
        if self.job is None or self.begun is None or self.context is None or self.context.job_timeout is None:
            return None
        return time.monotonic() - self.begun - self.context.job_timeout

    @property
    def is_known_dead(self) -> bool:
        """Whether the process has ended, as far as the process that it was forked from can say."""
        return self.process.exitcode not in (None, _UNKNOWN)

    def last_words(self) -> str:
        """Describes how the process has ended."""
        self.process.join(1.0)  # its exit code may come a little later than the end of its connection
        code = self.process.exitcode
        return "for an unknown reason" if code is None or code == _UNKNOWN else how_ended(code)

    def dump(self) -> None:
        """Lets the process write into its job's log where it is."""
        if DUMP is None or self.process.pid is None:
            return
        with suppress(OSError):
            os.kill(self.process.pid, DUMP)
        deadline = time.monotonic() + _DUMP_SECONDS
        while not self.log() and time.monotonic() < deadline:
            time.sleep(0.02)

    def log(self) -> str:
        """Path of the job's log relative to the output folder; empty where nothing is in it."""
        if self.job is None or self.context is None:
            return ""
        path = log_file(self.job.id, self.context.store)
        try:
            return path.relative_to(self.context.output).as_posix() if path.stat().st_size else ""
        except OSError:
            return ""

    def kill(self) -> None:
        """Ends the process at once, and removes its log where that is empty."""
        code, pid = self.process.exitcode, self.process.pid
        if pid is not None and (code is None or (code == _UNKNOWN and self._is_connected())):
            # Not `Process.kill`, which does nothing where the exit code is unknown.
            with suppress(OSError):
                os.kill(pid, getattr(signal, "SIGKILL", signal.SIGTERM))
            self.process.join(5.0)
        self.connection.close()
        if self.job is not None and self.context is not None and not self.log():
            log_file(self.job.id, self.context.store).unlink(missing_ok=True)

    def _is_connected(self) -> bool:
        """Whether the other end of the connection is there."""
        try:
            while self.connection.poll():
                self.connection.recv_bytes()
        except (EOFError, OSError):
            return False
        return True
