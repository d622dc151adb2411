"""Jobs as tasks of Ray: each is sent when what it needs is done, and again when its node is lost."""

from __future__ import annotations

import pickle
import re
import select
import time
from collections import Counter
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any

from benchmark.core.errors import BenchmarkError, StopRunError
from benchmark.core.output import warn
from benchmark.jobs import Job, RunContext
from benchmark.jobs.progress import Progress
from benchmark.runner.ray_cluster import JobResources, Node, load_ray
from benchmark.runner.ray_node import Begun, Result, run_on_node
from benchmark.runner.ray_task import RayTask
from benchmark.runner.sent_files import apply_changes
from benchmark.runner.serve import Answer, Said
from benchmark.runner.supervisor import Ended
from benchmark.runner.workers import THREADS

_LOSSES = 3
"""How often the node of a job, or its worker before the job began, may be lost until the job fails."""

_GLANCE = 0.1
"""Seconds between two looks at a signal and at the time that jobs take."""

_LOOK_AT_NODES = 2.0
"""Seconds between two looks at the nodes of the cluster."""

_SAY_AGAIN = 60.0
"""Seconds between two lines that say that no node has room."""


class RayPool:
    """Sends jobs to a Ray cluster that this process is connected to; see `Pool`.

    Args:
        resources: what each job takes.
        limit: number of jobs side by side, at most.
        nodes: lists the nodes of the cluster.
    """

    def __init__(self, resources: JobResources, limit: int, nodes: Callable[[], list[Node]]) -> None:
        self._ray = load_ray()
        self._resources = resources
        self._limit = limit
        self._list_nodes = nodes
        self._nodes: list[Node] = []
        self._looked = float("-inf")
        self._said = float("-inf")
        self._tasks: list[RayTask] = []
        self._lost: list[Ended] = []
        self._losses: Counter[str] = Counter()
        self._sends_files = False
        # Set before the libraries are imported, as for local workers.
        environment = dict.fromkeys(THREADS, str(resources.cpus))
        self._remote = self._ray.remote(run_on_node).options(
            **resources.options(),
            num_returns="streaming",
            max_retries=0,  # what is sent again, and how often, is decided here
            runtime_env={"env_vars": environment},
        )

    def __enter__(self) -> RayPool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in list(self._tasks):
            self._cancel(task)

    @property
    def running(self) -> list[Job]:
        """The jobs that have been sent and have not ended."""
        return [task.job for task in self._tasks]

    @property
    def busy(self) -> bool:
        """Whether `wait` has jobs to report, now or later."""
        return bool(self._tasks or self._lost)

    @property
    def free(self) -> int:
        """How many more jobs can be sent now; nodes may join and leave."""
        if time.monotonic() - self._looked >= _LOOK_AT_NODES:
            self._nodes = self._list_nodes()
            self._looked = time.monotonic()
        room = sum(self._resources.fitting(node) for node in self._nodes)
        if room == 0 and time.monotonic() - self._said >= _SAY_AGAIN:
            warn(f"No node of the Ray cluster has room for a job ({self._resources}): waiting for one.")
            self._said = time.monotonic()
        return max(0, min(self._limit, room) - len(self._tasks) - len(self._lost))

    def send(self, job: Job, context: RunContext) -> None:
        """Sends a job to the cluster; how it ends is what `wait` returns."""
        per_node = max((self._resources.fitting(node) for node in self._nodes), default=1)
        sharing = {"workers": max(1, per_node), "workers_of_device": self._resources.jobs_per_gpu or None}
        context = context.model_copy(update=sharing)
        try:
            task = pickle.dumps((job, context))
        except Exception as error:
            reason = f"The job cannot be sent to a node: {type(error).__name__}: {error}"
            self._lost.append(Ended(job, Said.BROKEN, reason))
            return
        files = self._files(job, context) if self._sends_files else None
        stream = self._remote.remote(task, context.source, mark_of(context), files, self._resources.cpus)
        self._tasks.append(RayTask(job, context, stream, files is not None))

    def wait(self, timeout: float, also: int | None = None) -> list[Ended]:
        """Waits until a job ends or `also` can be read from.

        Args:
            timeout: seconds to wait, at most.
            also: a file descriptor; None for none.

        Raises:
            StopRunError: that a job raised, or when a node has other code than this process.
            BenchmarkError: when worker after worker ends before it begins a job.
        """
        ended, self._lost = self._lost, []
        deadline = time.monotonic() + timeout
        while not ended and time.monotonic() < deadline and not _is_readable(also):
            if not self._tasks:
                time.sleep(_GLANCE)
                continue
            streams = {task.stream: task for task in self._tasks}
            ready, _ = self._ray.wait(list(streams), num_returns=1, timeout=_GLANCE)
            ended += [found for stream in ready if (found := self._listen(streams[stream])) is not None]
            ended += self._end_overdue()
        return ended

    def new_progress(self) -> list[tuple[Job, Progress]]:
        """Returns nothing: tasks say nothing between their start and their end."""
        return []

    def saves(self, job: Job) -> bool:
        """Whether a running job saves its state, which is kept where its node sees the output folder."""
        return any(task.job is job and task.saves for task in self._tasks)

    def abandon(self, job: Job) -> None:
        """Kills the worker of a running job."""
        for task in list(self._tasks):
            if task.job is job:
                self._cancel(task)

    def _files(self, job: Job, context: RunContext) -> list[tuple[str, Any]]:
        """Puts what a job needs where nodes can fetch it."""
        store = context.store
        paths = [store.root / path for read in job.reads for path in store.files_of(read)]
        return [
            (path.relative_to(context.output).as_posix(), self._ray.put(path.read_bytes())) for path in paths
        ]

    def _listen(self, task: RayTask) -> Ended | None:
        """Takes the next thing that a task says; None where its job has not ended with that."""
        errors = self._ray.exceptions
        try:
            said: Begun | Result = self._ray.get(next(task.stream))
        except StopIteration:
            return self._end(task, Said.BROKEN, f"The task on {task.where} ended without a result.")
        except errors.OutOfMemoryError:
            return self._end(task, Said.BROKEN, f"Ray ended the job, because {task.where} ran out of memory")
        except (errors.NodeDiedError, errors.ObjectLostError):
            return self._lose(task, "its node was lost")
        except errors.WorkerCrashedError:
            if task.begun is None:
                return self._lose(task, "its worker ended before it began")
            if task.begun[0].node_id not in {node.id for node in self._list_nodes()}:
                return self._lose(task, "its node was lost")
            return self._end(task, Said.BROKEN, f"The worker on {task.where} died")
        except errors.RayError as error:
            raise StopRunError(f"{_node(task, error)} cannot run jobs of this run: {_line(error)}") from None
        if isinstance(said, Begun):
            task.begun = said, time.monotonic()
            if said.shares or task.has_files:
                return None
            self._sends_files = True
            return self._again(task)
        return self._finish(task, said)

    def _finish(self, task: RayTask, result: Result) -> Ended:
        answer: Answer = result.answer
        if answer.said is Said.STOP_RUN:
            raise StopRunError(f"On {task.where}: {answer.reason}")
        apply_changes(result.changes, task.context.output)
        return self._end(task, answer.said, answer.reason)

    def _lose(self, task: RayTask, how: str) -> Ended:
        """Lets a job be sent again, or fail when that was in vain before."""
        self._losses[task.job.id] += 1
        losses = self._losses[task.job.id]
        self._looked = float("-inf")  # the nodes are others now
        if losses >= _LOSSES:
            reason = f"The job was given up: {how}, {losses} times, the last time {task.where}"
            return self._end(task, Said.BROKEN, reason)
        start = "its last save" if task.saves else "its start"
        warn(f"{task.job.label}: {how} ({task.where}). It is sent again, and resumes from {start}.")
        return self._again(task)

    def _end_overdue(self) -> list[Ended]:
        """Ends the jobs that take longer than they may."""
        ended = []
        for task in [task for task in self._tasks if task.is_overdue]:
            self._ray.cancel(task.stream, force=True)
            limit = task.context.job_timeout
            reason = f"The job was stopped after {task.seconds:.0f} s (--job-timeout {limit:g})"
            ended.append(self._end(task, Said.BROKEN, reason))
        return ended

    def _end(self, task: RayTask, said: Said, reason: str | None) -> Ended:
        """Removes a task; the reason of a job that could not write its records names the log of its crash."""
        self._tasks.remove(task)
        log = task.log()
        if said is Said.BROKEN and reason is not None:
            reason = reason.rstrip(".") + (f" (traceback in {log})." if log else ".")
        return Ended(task.job, said, reason, log if said is Said.BROKEN else "")

    def _again(self, task: RayTask) -> Ended:
        """Removes a task whose job is to be sent again."""
        self._tasks.remove(task)
        task.log()
        return Ended(task.job, None)

    def _cancel(self, task: RayTask) -> None:
        self._ray.cancel(task.stream, force=True)
        self._again(task)


def mark_of(context: RunContext) -> str:
    """The path of a file by which a node finds whether it sees the output folder: the run's sign of life.

    Raises:
        BenchmarkError: when the context is not one of a run.
    """
    if context.stop_file is None:
        raise BenchmarkError("Only a run with leases can send jobs to a cluster.")
    return str(context.stop_file.with_suffix(".run"))


def _is_readable(descriptor: int | None) -> bool:
    return descriptor is not None and bool(select.select([descriptor], [], [], 0)[0])


def _node(task: RayTask, error: Exception) -> str:
    """Names the node of a task; one that could not begin by the address in Ray's message."""
    address = re.search(r"\bip=([^,)\s]+)", str(error))
    if task.begun is None:
        return f"Node {address[1]}" if address else "A node"
    return f"Node {task.begun[0].node}"


def _line(error: Exception) -> str:
    """The last line of an error, which names its cause."""
    lines: Sequence[str] = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
