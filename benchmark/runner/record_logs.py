"""Logs of a run, written in its own process from the records of jobs that have ended."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from benchmark.core.output import warn
from benchmark.jobs import Job
from benchmark.loggers import LOGGERS, LogWriter, log_cell, log_training
from benchmark.planning.todo import Todo
from benchmark.records import Store
from benchmark.runner.job_watcher import JobWatcher


class RecordLogs(JobWatcher):
    """The logs of a run; one that fails is given up with a line on stderr, and the run goes on.

    Args:
        specs: of the loggers.
        todo: the jobs of the run.
        store: where their records are.
        config: the configuration of the run.

    Raises:
        UsageError: when a log cannot be opened.
    """

    def __init__(self, specs: Iterable[str], todo: Todo, store: Store, config: Mapping[str, Any]) -> None:
        self._store = store
        self._cells = {job.id: list(job.cells.values()) for job in todo.attacks}
        self._writers = open_logs(specs, store.output, config)

    def __enter__(self) -> RecordLogs:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._write(lambda writer: writer.close())

    def finish(self, job: Job, reason: str | None) -> None:
        """Logs a job that has ended; what failed is left out."""
        if reason is not None or not self._writers:
            return
        if job.id in self._cells:
            for record in filter(None, map(self._store.cell, self._cells[job.id])):
                self._write(lambda writer, record=record: log_cell(record, writer))  # type: ignore[misc]
        elif (trained := self._store.model(job.id)) is not None:
            self._write(lambda writer: log_training(trained, writer))

    def _write(self, action: Callable[[LogWriter], None]) -> None:
        for name in list(self._writers):
            self._write_to(name, action)

    def _write_to(self, name: str, action: Callable[[LogWriter], None]) -> None:
        try:
            action(self._writers[name])
        except Exception as error:  # whatever the tools of others raise
            del self._writers[name]
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            warn(f"--log {name} is given up ({reason}); the run goes on.")


def open_logs(specs: Iterable[str], output: Path, config: Mapping[str, Any]) -> dict[str, LogWriter]:
    """Opens the logs of a run, by the specs of their loggers.

    Raises:
        UsageError: for an unknown logger, one whose package is missing, or one that cannot be opened.
    """
    return {logger.spec: logger.open(output, config) for logger in map(LOGGERS.build, specs)}


def check_loggers(specs: Iterable[str]) -> None:
    """Checks, before anything is run, that the loggers and their packages are there.

    Raises:
        UsageError: for an unknown logger, or one whose package is not installed.
    """
    for logger in map(LOGGERS.build, specs):
        logger.check()
