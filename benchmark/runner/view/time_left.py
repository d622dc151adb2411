"""The time that a run has left, from the cost of its jobs and how fast cost units have been done so far."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from benchmark.jobs.progress import Progress
from benchmark.runner.view.estimate import Estimate

FIRST = 0.01
"""Fraction of the cost units that must be done before the time left is estimated."""

_OVERRUN = 0.5
"""Seconds that a job is expected to take still for each second that it has taken too long."""

_TRUSTED = 0.2
"""Share of a job from which on its own pace counts alone, not that of others of its kind."""

_FEW = 500
"""Waiting jobs up to which chains of jobs that need each other are looked at; of more, none decides."""


Kind = tuple[str, ...]
"""A kind of jobs; see `JobCost`."""

PerUnit = Callable[[Kind], float]
"""Seconds of a worker for a cost unit of a kind."""


class JobCost(NamedTuple):
    """What is known of a job before it starts.

    Attributes:
        units: its cost units.
        kind: from the general to the particular; jobs of one kind take about the same time for a cost unit,
            and while nothing is known of a kind, its last word is left out.
        is_bound: whether it may turn out to cost less.
        needs: ids of the jobs that must be done first.
    """

    units: float
    kind: Kind = ()
    is_bound: bool = False
    needs: tuple[str, ...] = ()


@dataclass
class _Pace:
    """Seconds of workers, and the cost units that were done in them."""

    seconds: float = 0.0
    units: float = 0.0

    def add(self, seconds: float, units: float) -> None:
        self.seconds += seconds
        self.units += units


@dataclass
class _Running:
    """A running job.

    Attributes:
        started, told: when it started, and when it last reported progress, by the clock.
        progress: the latest.
    """

    started: float
    told: float
    progress: Progress | None = None

    @property
    def first(self) -> float:
        """The share that it began with, because it resumed from an earlier run."""
        return 0.0 if self.progress is None else min(self.progress.resumed, 1.0 - 1e-9)

    @property
    def gained(self) -> float:
        """The fraction of what this run has to do of the job that is done."""
        share = self.progress.share if self.progress else 0.0
        return min(1.0, max(0.0, share - self.first) / (1.0 - self.first))


@dataclass
class _Parts:
    """The fractions of their bound that jobs turned out to cost, weighted by it."""

    bound: float = 0.0
    found: float = 0.0
    jobs: int = 0

    @property
    def mean(self) -> float | None:
        return self.found / self.bound if self.jobs >= 3 and self.bound else None


@dataclass
class TimeLeft:
    """Estimates the time left of a run.

    The work left is shared by the workers, but ends no sooner than the longest job that runs, or waits, with
    what it needs: for jobs of known cost and equal pace, the true time is at most twice this.

    Attributes:
        jobs: what is known of each job, by its id.
        workers: how many jobs run side by side.
        clock: tells the seconds.
    """

    jobs: Mapping[str, JobCost]
    workers: int
    clock: Callable[[], float] = time.monotonic
    _waiting: dict[str, JobCost] = field(init=False)
    _running: dict[str, _Running] = field(init=False, default_factory=dict)
    _paces: dict[Kind, _Pace] = field(init=False, default_factory=lambda: defaultdict(_Pace))
    _units: dict[tuple[Kind, bool], float] = field(init=False, default_factory=lambda: defaultdict(float))
    _bounds: int = field(init=False, default=0)
    _parts: _Parts = field(init=False, default_factory=_Parts)
    _done: float = field(init=False, default=0.0)
    _began: float | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self._waiting = {}
        for job_id, job in self.jobs.items():
            self._wait(job_id, job)
        self._total = sum(job.units for job in self.jobs.values())

    def start(self, job_id: str) -> None:
        """Notes that a job starts."""
        now = self.clock()
        self._began = now if self._began is None else self._began
        self._stop_waiting(job_id)
        self._running[job_id] = _Running(now, now)

    def report(self, job_id: str, progress: Progress) -> None:
        """Notes how far a running job is."""
        running = self._running.get(job_id)
        if running is not None:
            running.progress, running.told = progress, self.clock()

    def finish(self, job_id: str, failed: bool = False) -> None:
        """Notes that a job has ended, or will not start."""
        self._stop_waiting(job_id)
        running = self._running.pop(job_id, None)
        job = self.jobs.get(job_id)
        if running is None or job is None:  # another run did it, or it failed with another
            self._total -= 0.0 if job is None else job.units
            return
        part = self._part(job, running)
        self._done += job.units
        if failed:
            return
        if job.is_bound and part is not None:
            self._parts.bound += job.units
            self._parts.found += job.units * part
            self._parts.jobs += 1
        if part is not None:
            seconds = self.clock() - running.started
            self._paces[job.kind].add(seconds, job.units * part * (1.0 - running.first))

    @property
    def units_per_second(self) -> float | None:
        """Cost units that the run does in a second; None while unknown."""
        elapsed = 0.0 if self._began is None else self.clock() - self._began
        units = sum(pace.units for pace in self._paces.values())
        units += sum(self._units_of(job_id, running) for job_id, running in self._running.items())
        return units / elapsed if elapsed > 0 and units > 0 else None

    @property
    def share(self) -> float:
        """The fraction of the run's cost units that is done, in [0, 1]; bounds count in full."""
        if not self._running and not self._waiting:
            return 1.0
        running = sum(self.jobs[job_id].units * running.gained for job_id, running in self._running.items())
        return min(1.0, (self._done + running) / self._total) if self._total > 0 else 1.0

    def estimate(self) -> Estimate:
        """Estimates the time left from now on."""
        paces = self._paces_now()
        if not self._running and not self._waiting:
            return Estimate(0.0, over=True)
        if paces is None or self.share < FIRST:
            return Estimate(None)
        bound = self._left(paces, 1.0)
        if not self._is_bound():
            return Estimate(bound)
        mean = self._parts.mean
        return Estimate(bound, known=False) if mean is None else Estimate(self._left(paces, mean), bound)

    def _wait(self, job_id: str, job: JobCost) -> None:
        self._waiting[job_id] = job
        self._units[job.kind, job.is_bound] += job.units
        self._bounds += job.is_bound

    def _stop_waiting(self, job_id: str) -> None:
        job = self._waiting.pop(job_id, None)
        if job is not None:
            self._units[job.kind, job.is_bound] -= job.units
            self._bounds -= job.is_bound

    @staticmethod
    def _part(job: JobCost, running: _Running) -> float | None:
        """The fraction of its planned cost that a job has; None where that is not known."""
        if running.progress is not None:
            return running.progress.part
        return None if job.is_bound else 1.0

    def _units_of(self, job_id: str, running: _Running) -> float:
        """Cost units of a running job that this run has done."""
        part = self._part(self.jobs[job_id], running)
        return 0.0 if part is None else self.jobs[job_id].units * part * (1 - running.first) * running.gained

    def _is_bound(self) -> bool:
        """Whether the cost of what is left may turn out to be lower."""
        return self._bounds > 0 or any(
            self.jobs[job_id].is_bound and running.progress is None
            for job_id, running in self._running.items()
        )

    def _paces_now(self) -> PerUnit | None:
        """Seconds of a worker for a cost unit, by kind, with running jobs; None while nothing is done."""
        paces: dict[Kind, _Pace] = defaultdict(_Pace)

        def add(kind: Kind, seconds: float, units: float) -> None:
            for length in range(len(kind) + 1):
                paces[kind[:length]].add(seconds, units)

        for kind, pace in self._paces.items():
            add(kind, pace.seconds, pace.units)
        for job_id, running in self._running.items():
            if units := self._units_of(job_id, running):
                add(self.jobs[job_id].kind, running.told - running.started, units)
        per_unit = {kind: pace.seconds / pace.units for kind, pace in paces.items() if pace.units > 0}
        if not per_unit:
            return None
        return lambda kind: next(
            per_unit[kind[:length]] for length in range(len(kind), -1, -1) if kind[:length] in per_unit
        )

    def _left(self, per_unit: PerUnit, part: float) -> float:
        """Seconds left if jobs of bounded cost have a part of it."""

        def seconds(job: JobCost) -> float:
            return per_unit(job.kind) * job.units * (part if job.is_bound else 1.0)

        running = {
            job_id: self._seconds_of(job_id, running, per_unit, part)
            for job_id, running in self._running.items()
        }
        work = sum(running.values()) + sum(
            per_unit(kind) * max(0.0, units) * (part if is_bound else 1.0)
            for (kind, is_bound), units in self._units.items()
        )
        waiting = self._waiting if len(self._waiting) <= _FEW else {}
        return max(work / max(1, self.workers), *_ends(waiting, running, seconds))

    def _seconds_of(self, job_id: str, running: _Running, per_unit: PerUnit, part: float) -> float:
        """Seconds that a running job has left: by the pace of its kind, and by its own as that is known."""
        job = self.jobs[job_id]
        known = running.progress.part if running.progress else part if job.is_bound else 1.0
        whole = per_unit(job.kind) * job.units * known * (1.0 - running.first)
        if running.gained > 0:
            weight = min(1.0, running.gained / _TRUSTED)
            whole = weight * (running.told - running.started) / running.gained + (1 - weight) * whole
        left = whole - (self.clock() - running.started)
        return left if left >= 0 else -_OVERRUN * left


def _ends(
    waiting: Mapping[str, JobCost], running: Mapping[str, float], seconds: Callable[[JobCost], float]
) -> Iterable[float]:
    """Yields when each job ends at the earliest, in seconds from now; jobs that need each other in a row."""
    ends = dict(running)

    def end(job_id: str) -> float:
        if job_id in waiting and job_id not in ends:
            ends[job_id] = 0.0  # against circles
            job = waiting[job_id]
            ends[job_id] = seconds(job) + max((end(needed) for needed in job.needs), default=0.0)
        return ends.get(job_id, 0.0)

    for job_id in waiting:
        end(job_id)
    return [0.0, *ends.values()]
