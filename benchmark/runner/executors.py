"""The registry of executors: where the jobs of a run are done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

from pydantic import Field

from benchmark.core.errors import UsageError
from benchmark.core.hardware import resolve_device
from benchmark.core.parameters import Parameters
from benchmark.core.registry import Registry
from benchmark.data import Folders
from benchmark.jobs import Job, RunContext, TrainJob
from benchmark.planning.config import Configuration
from benchmark.planning.worker_count import count_workers
from benchmark.runner.executor import run_jobs, run_on_pool
from benchmark.runner.job_watcher import JobWatcher
from benchmark.runner.workers import start_ahead, threads_of_worker


class JobExecutor(Parameters):
    """Where jobs are done; the method `run_jobs` is an `Executor`."""

    def at(self, address: str) -> JobExecutor:
        """Returns this executor for a cluster at an address.

        Raises:
            UsageError: when it has no cluster.
        """
        raise UsageError(
            f"--ray-address {address} has no effect with --executor {self.name}; use --executor ray."
        )

    def device(self, asked: str, dry: bool) -> str:
        """Chooses the device of the jobs.

        Args:
            asked: "auto", "cpu", "cuda" or "cuda:INDEX".
            dry: whether nothing is going to be run.

        Raises:
            UsageError: when there is no such device, or a cluster cannot be reached.
        """
        raise NotImplementedError

    def count_workers(self, trainings: Sequence[TrainJob], device: str, folders: Folders) -> int:
        """Counts the jobs that are to run side by side, at most, where the user does not say."""
        raise NotImplementedError

    def prepare(self, context: RunContext, trains: bool) -> None:
        """Starts what takes long to start, without waiting; called once it is known that there are jobs.

        Args:
            context: the context of the run.
            trains: whether there are trainings among them.
        """

    def run_jobs(
        self,
        jobs: Sequence[Job],
        costs: Mapping[str, float],
        context: RunContext,
        workers: int,
        watcher: JobWatcher,
    ) -> None:
        """Runs all jobs, as `executor.run_jobs` does."""
        raise NotImplementedError


EXECUTORS = Registry("executor", JobExecutor)


@EXECUTORS.register("local")
class LocalExecutor(JobExecutor):
    """Worker processes of this machine."""

    def device(self, asked: str, dry: bool) -> str:
        """Chooses the device of this machine."""
        return resolve_device(asked)

    def count_workers(self, trainings: Sequence[TrainJob], device: str, folders: Folders) -> int:
        """Counts the worker processes that suit this machine."""
        return count_workers(trainings, device, folders)

    def prepare(self, context: RunContext, trains: bool) -> None:
        """Starts the process that workers are forked from."""
        start_ahead(threads_of_worker(context.device, context.workers), trains)

    def run_jobs(
        self,
        jobs: Sequence[Job],
        costs: Mapping[str, float],
        context: RunContext,
        workers: int,
        watcher: JobWatcher,
    ) -> None:
        """Runs all jobs on worker processes."""
        run_jobs(jobs, costs, context, workers, watcher)


@EXECUTORS.register("ray")
class RayExecutor(JobExecutor):
    """Nodes of a Ray cluster (docs/clusters.md).

    Attributes:
        address: HOST:PORT of the head; by default the cluster of this machine, or a new one.
        memory: GB of memory that a job is taken to need; by default an estimate from its data set.
    """

    address: str | None = None
    memory: Annotated[float, Field(gt=0)] | None = None

    def at(self, address: str) -> JobExecutor:
        """Returns the executor for a cluster at an address."""
        return self.model_copy(update={"address": address})

    def device(self, asked: str, dry: bool) -> str:
        """Connects to the cluster, unless nothing is going to be run, and chooses the device of the jobs."""
        from benchmark.runner import ray_executor

        return ray_executor.choose_device(asked, self.address, dry)

    def count_workers(self, trainings: Sequence[TrainJob], device: str, folders: Folders) -> int:
        """Counts the jobs that the GPUs of the cluster take; on CPUs only the room of the nodes counts."""
        from benchmark.runner import ray_executor

        return ray_executor.count_jobs(trainings, device, folders)

    def run_jobs(
        self,
        jobs: Sequence[Job],
        costs: Mapping[str, float],
        context: RunContext,
        workers: int,
        watcher: JobWatcher,
    ) -> None:
        """Runs all jobs as tasks of the cluster."""
        from benchmark.runner import ray_executor

        pool = ray_executor.make_pool(jobs, context, workers, self.address, self.memory)
        run_on_pool(pool, jobs, costs, context, watcher)


def make_executor(config: Configuration) -> JobExecutor:
    """Builds the executor that a configuration names.

    Raises:
        UsageError: for an unknown one, or an address for one without a cluster.
    """
    executor = EXECUTORS.build(config.executor)
    return executor if config.ray_address is None else executor.at(config.ray_address)
