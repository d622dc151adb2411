"""The protocol that every job follows, and the function that runs one on a worker."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NamedTuple, Protocol

from benchmark.core.errors import BenchmarkError, SourceError, StopRunError, UsageError
from benchmark.core.files import stop_when_full, write_atomically
from benchmark.core.hardware import current_device
from benchmark.core.own_line import explain
from benchmark.core.processes import leave_if_forked
from benchmark.core.source import check_source
from benchmark.data import Folders
from benchmark.jobs.context import RunContext
from benchmark.jobs.progress import Report, ignore
from benchmark.plugins.load import installed_modules, load_plugins
from benchmark.plugins.proof import check_plugins
from benchmark.records import ModelKey, Status, Store


class Outcome(NamedTuple):
    """What the records of a job say.

    Attributes:
        reason: why the job failed; None where it is done.
        written: when they were written, by the clocks of the runs that wrote them; only equality counts.
    """

    reason: str | None
    written: tuple[str, ...]


class Job(Protocol):
    """A unit of work for a worker; it depends only on its own fields, and writes its own records."""

    @property
    def id(self) -> str:
        """The identity of the job, which names its log; of a training also the model's identity."""

    @property
    def key(self) -> ModelKey:
        """The key of the model that is trained or attacked."""

    @property
    def label(self) -> str:
        """A short description, without the data set, backbone and loss."""

    @property
    def needs(self) -> Mapping[str, str]:
        """Ids of the trainings and attacks that must be done first, each with its name in messages."""

    @property
    def reads(self) -> Collection[str]:
        """Ids of the models and cells whose files the job reads, where it or another has written them."""

    @property
    def resumable(self) -> bool:
        """Whether the job saves its state, from which it resumes, when the run is being stopped."""

    @property
    def grace(self) -> float | None:
        """Seconds that a resumable job may take to save its state then; None for any."""

    def cost(self, folders: Folders) -> float:
        """Estimates the cost in units: forward passes of one image through the plain backbone."""

    def execute(self, context: RunContext) -> str | None:
        """Does the work and writes its records.

        Returns:
            None when all went well, else the reason why not, in one line.
        """

    def fail(self, reason: str, context: RunContext, status: Status = "failed", log: str = "") -> str:
        """Writes records that say why there is no result, and returns the reason.

        Args:
            reason: why, in one line.
            context: the context of the run.
            status: "failed" or "skipped".
            log: path of a file that says more, relative to the output folder.
        """

    def outcome(self, store: Store) -> Outcome | None:
        """Reads what the job's records say; None while one is missing."""


def run_job(job: Job, context: RunContext, report: Report = ignore) -> str | None:
    """Runs a job in a worker; an error is recorded as the job's failure, and the run continues.

    Args:
        job: the job.
        context: the context of the run.
        report: takes the progress of the job.

    Returns:
        None when all went well, else the reason why not, in one line.

    Raises:
        SourceError: when this process has other code than the run; nothing is recorded then.
        StopRunError: when the run cannot continue, or is being stopped; nothing is recorded then.
    """
    check_source(context.source)
    try:
        load_plugins(context.plugins)
    except UsageError as error:  # it loaded when the run was started
        raise SourceError(f"{error} It was changed after the run was started; start the run again.") from None
    check_plugins(context.plugins, context.plugin_source)
    here = os.getpid()
    try:
        with current_device(context.device):
            context = context.in_job(report)
            try:
                return job.execute(context)
            finally:
                leave_if_forked(here)
    except StopRunError:
        raise
    except (Exception, SystemExit) as error:  # a plugin may do anything
        stop_when_full(error)
        reason, log = _explain(error, job, context)
        return job.fail(reason, context, log=log)


def log_file(job_id: str, store: Store) -> Path:
    """The path of a job's log."""
    return store.root / "logs" / f"{job_id}.txt"


def _explain(error: BaseException, job: Job, context: RunContext) -> tuple[str, str]:
    """Describes an error in one line; the traceback of an unexpected one is written beside the records.

    Returns:
        The line, and the path of the traceback relative to the output folder; empty where there is none.

    The line of a plugin's own file is named, where the traceback passes through one.
    """
    if isinstance(error, BenchmarkError):
        return str(error), ""
    log = log_file(job.id, context.store)
    write_atomically(log, lambda path: path.write_text(traceback.format_exc(), encoding="utf-8"))
    installed = (getattr(sys.modules[name], "__file__", None) or "" for name in installed_modules())
    reason = explain(error, {*(str(path.resolve()) for path in context.plugins), *installed} - {""})
    name = log.relative_to(context.output).as_posix()
    return f"{reason} (traceback in {name})", name
