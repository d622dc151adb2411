"""What jobs are handed to: a pool of workers, on this machine or on others."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol

from benchmark.core.hardware import devices_of
from benchmark.jobs import Job, RunContext
from benchmark.jobs.progress import Progress
from benchmark.runner.device_dealer import DeviceDealer
from benchmark.runner.supervisor import Ended, Supervisor
from benchmark.runner.workers import threads_of_worker


class Pool(Protocol):
    """Runs jobs side by side within a `with` block; after it nothing of them runs any more."""

    def __enter__(self) -> Pool:
        """Prepares what is needed for the first job."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends all running jobs at once."""

    @property
    def running(self) -> list[Job]:
        """The jobs that have been sent and have not ended."""

    @property
    def busy(self) -> bool:
        """Whether `wait` has jobs to report, now or later."""

    @property
    def free(self) -> int:
        """How many more jobs can be sent now."""

    def send(self, job: Job, context: RunContext) -> None:
        """Sends a job to a free worker; how it ends is what `wait` returns."""

    def wait(self, timeout: float, also: int | None = None) -> list[Ended]:
        """Waits until a job ends or the file descriptor `also` can be read from.

        Args:
            timeout: seconds to wait, at most.
            also: a file descriptor; None for none.

        Raises:
            BenchmarkError: when the run cannot continue.
        """

    def new_progress(self) -> list[tuple[Job, Progress]]:
        """Returns how far running jobs are, where that is news since the last call."""

    def saves(self, job: Job) -> bool:
        """Whether a running job saves its state, from which it resumes, when the run is being stopped."""

    def abandon(self, job: Job) -> None:
        """Ends a running job at once; `wait` does not report it."""


class LocalPool:
    """Worker processes of this machine, which its devices are dealt out to.

    Args:
        workers: number of processes.
        context: the context of the run.
    """

    def __init__(self, workers: int, context: RunContext) -> None:
        self._supervisor = Supervisor(workers, threads_of_worker(context.device, context.workers))
        self._dealer = DeviceDealer(devices_of(context.device), workers)
        self._devices: dict[str, str] = {}

    def __enter__(self) -> LocalPool:
        self._supervisor.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._supervisor.__exit__(kind, error, trace)

    @property
    def running(self) -> list[Job]:
        """The jobs that have been sent and have not ended."""
        return self._supervisor.running

    @property
    def busy(self) -> bool:
        """Whether `wait` has jobs to report, now or later."""
        return self._supervisor.busy

    @property
    def free(self) -> int:
        """How many more jobs can be sent now."""
        return self._supervisor.free

    def send(self, job: Job, context: RunContext) -> None:
        """Sends a job to a free worker, for the device with the fewest jobs."""
        device = self._devices[job.id] = self._dealer.take()
        self._supervisor.send(job, self._dealer.context_on(device, context))

    def wait(self, timeout: float, also: int | None = None) -> list[Ended]:
        """Waits until a job ends or the file descriptor `also` can be read from."""
        ended = self._supervisor.wait(timeout, also)
        for one in ended:
            self._dealer.give_back(self._devices.pop(one.job.id))
        return ended

    def new_progress(self) -> list[tuple[Job, Progress]]:
        """Returns how far running jobs are, where that is news since the last call."""
        return self._supervisor.new_progress()

    def saves(self, job: Job) -> bool:
        """Whether a running job saves its state when the run is being stopped."""
        return job.resumable

    def abandon(self, job: Job) -> None:
        """Kills the worker of a running job."""
        self._supervisor.abandon(job)
