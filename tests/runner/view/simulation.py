"""Runs whose jobs take a known time, for tests of what is shown of them."""

from dataclasses import dataclass, field

from benchmark.jobs.progress import Progress
from benchmark.runner.view.time_left import JobCost, TimeLeft


@dataclass
class SimulatedRun:
    """Workers that take the next ready job, costly ones first, and report every second if asked to.

    Attributes:
        jobs: by their id.
        workers: how many jobs run side by side.
        seconds_per_unit: by kind.
        parts: what jobs cost of their bound, by their id.
        reporting: whether jobs report their progress.
        resumed: the share that jobs begin with, by their id.
    """

    jobs: dict[str, JobCost]
    workers: int = 2
    seconds_per_unit: dict = field(default_factory=lambda: {(): 1.0})
    parts: dict = field(default_factory=dict)
    reporting: bool = True
    resumed: dict = field(default_factory=dict)
    now: float = 0.0

    def seconds(self, job_id):
        job = self.jobs[job_id]
        share = 1 - self.resumed.get(job_id, 0.0)
        return job.units * self.parts.get(job_id, 1.0) * share * self.seconds_per_unit[job.kind]

    def estimates(self, step=1.0):
        """Returns (time, fraction of the units done, estimate) about every second, and the run's end."""
        left = TimeLeft(self.jobs, self.workers, lambda: self.now)
        waiting = sorted(self.jobs, key=lambda job_id: -self.jobs[job_id].units)
        running, done, seen = {}, set(), []
        while waiting or running:
            for job_id in list(waiting):
                if len(running) < self.workers and done.issuperset(self.jobs[job_id].needs):
                    waiting.remove(job_id)
                    running[job_id] = self.now
                    left.start(job_id)
            ends = {job_id: start + self.seconds(job_id) for job_id, start in running.items()}
            self.now = min([self.now + step, *ends.values()])
            for job_id, start in list(running.items()):
                whole, first = max(1e-9, self.seconds(job_id)), self.resumed.get(job_id, 0.0)
                share = first + (1 - first) * min(1.0, (self.now - start) / whole)
                if self.reporting:
                    part = self.parts.get(job_id, 1.0)
                    left.report(job_id, Progress(share, part, resumed=first))
                if ends[job_id] <= self.now:
                    del running[job_id]
                    done.add(job_id)
                    left.finish(job_id)
            seen.append((self.now, left.share, left.estimate()))
        return seen, self.now
