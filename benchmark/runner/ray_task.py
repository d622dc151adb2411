"""A job that has been sent to a Ray cluster, as its run sees it."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from benchmark.jobs import Job, RunContext
from benchmark.jobs.job import log_file
from benchmark.runner.ray_node import Begun

_GRACE = 0.5
"""Seconds for a job that takes longer than it may, before it is ended."""

_WAIT_FOR_LOG = 10.0
"""Seconds, at most, until such a job has written where it is: its clock starts later on a busy node."""


@dataclass
class RayTask:
    """A job that has been sent.

    Attributes:
        job: the job.
        context: the context that it was sent with.
        stream: Ray's generator of what the task says.
        has_files: whether what the job needs was sent with it.
        begun: what the task said when it began, and when that was by the monotonic clock.
    """

    job: Job
    context: RunContext
    stream: Any
    has_files: bool
    begun: tuple[Begun, float] | None = None

    @property
    def seconds(self) -> float:
        """How long the job has run."""
        return 0.0 if self.begun is None else time.monotonic() - self.begun[1]

    @property
    def is_overdue(self) -> bool:
        """Whether the job takes longer than it may."""
        limit = self.context.job_timeout
        if self.begun is None or limit is None or self.seconds < limit + _GRACE:
            return False
        writes = self.begun[0].shares and self.seconds < limit + _WAIT_FOR_LOG
        return not writes or self._has_log

    @property
    def saves(self) -> bool:
        """Whether the job saves its state where a later run, or another node, finds it."""
        return self.job.resumable and self.begun is not None and self.begun[0].shares

    @property
    def where(self) -> str:
        """The node, for messages."""
        return f"node {self.begun[0].node}" if self.begun else "a node"

    @property
    def _has_log(self) -> bool:
        with suppress(OSError):
            return log_file(self.job.id, self.context.store).stat().st_size > 0
        return False

    def log(self) -> str:
        """Removes the job's log where it is empty.

        Returns:
            Its path relative to the output folder; empty where there is none.
        """
        path = log_file(self.job.id, self.context.store)
        with suppress(OSError):
            if path.stat().st_size:
                return path.relative_to(self.context.output).as_posix()
            path.unlink()
        return ""
