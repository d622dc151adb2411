"""Jobs that cost nothing, for tests of what runs jobs; as a program, a run of some of them."""

import json
import os
import random
import signal
import sys
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path

from benchmark.core.errors import InterruptedJobError, Stopped
from benchmark.core.files import write_atomically
from benchmark.jobs import Outcome, RunContext
from benchmark.jobs.progress import Progress
from benchmark.records import ModelKey
from benchmark.runner.executor import run_jobs
from benchmark.runner.executors import EXECUTORS
from benchmark.runner.job_watcher import JobWatcher

KEY = ModelKey(dataset="digits", backbone="smallconv", loss="proxy_anchor", defense="vanilla", seed=0)


@dataclass(frozen=True)
class DummyJob:
    """A job that notes that it was executed, then acts, then writes its record.

    Attributes:
        acts: what it does, one of the names in `ACTS`.
        seconds: how long it takes.
        resumable: whether it saves its state when the run is being stopped.
        deaf: whether it does so only when it has ended, as a training with a long epoch.
        grace: seconds that it may take to do so.
    """

    id: str
    acts: str = "nothing"
    seconds: float = 0.0
    needs: dict = field(default_factory=dict)
    resumable: bool = False
    deaf: bool = False
    grace: float | None = None
    key: ModelKey = KEY

    @property
    def label(self):
        return self.id

    @property
    def reads(self):
        return tuple(self.needs)

    def cost(self, folders):
        return 1.0

    def execute(self, context):
        with (context.output / "executed.txt").open("a") as file:
            file.write(f"{self.id}\n")
        ends = time.monotonic() + self.seconds
        while time.monotonic() < ends:
            if self.resumable and not self.deaf and context.stopping():
                (context.output / f"{self.id}.saved").touch()
                raise InterruptedJobError("saved")
            time.sleep(min(0.01, self.seconds))
        result = ACTS[self.acts](self, context)
        if result is not None:
            return result
        self._write(context, None)
        if self.acts == "dies_when_done":
            os._exit(3)
        return None

    def fail(self, reason, context, status="failed", log=""):
        self._write(context, reason, log)
        return reason

    def outcome(self, store):
        record = record_of(self.id, store.output)
        return record and Outcome(record["reason"], (record["written"],))

    def _write(self, context, reason, log=""):
        record = {"value": value_of(self.id), "reason": reason, "log": log, "written": uuid.uuid4().hex}
        path = context.output / "records" / f"{self.id}.json"
        write_atomically(path, lambda temporary: temporary.write_text(json.dumps(record)))


def value_of(name):
    return random.Random(name).random()


def record_of(name, output):
    path = output / "records" / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else None


def _segfault(job, context):
    import ctypes

    ctypes.string_at(0)


def _kill_server(job, context):
    """Kills the process that this worker was forked from."""
    os.kill(os.getppid(), signal.SIGKILL)


def _report(job, context):
    for done in range(50):
        context.report(Progress(done / 50, unit="step", done=done, total=50))
        time.sleep(0.05)


def _raise(job, context):
    raise ValueError("a bug")


def _fork(job, context):
    """Forks a process, which goes on to an error as if it were the worker."""
    if child := os.fork():
        os.waitpid(child, 0)
    else:
        raise ValueError("in a process that the job forked")


def _fork_and_return(job, context):
    """Forks a process, which goes on as if it were the worker, and is done first."""
    if child := os.fork():
        os.waitpid(child, 0)


def _interrupt(job, context):
    raise KeyboardInterrupt


ACTS = {
    "nothing": lambda job, context: None,
    "raises": _raise,
    "forks": _fork,
    "forks_and_returns": _fork_and_return,
    "interrupts": _interrupt,
    "reports": _report,
    "is_killed": lambda job, context: os.kill(os.getpid(), signal.SIGKILL),
    "exits_with_0": lambda job, context: os._exit(0),
    "segfaults": _segfault,
    "kills_server": _kill_server,
    "sleeps": lambda job, context: time.sleep(600),
    "returns_a_function": lambda job, context: lambda: None,
    "dies_when_done": lambda job, context: None,
}


class _Reasons(JobWatcher):
    """Notes the reason of each job that ended, and calls `on_start` with each that starts."""

    def __init__(self, on_start):
        self.by_name = {}
        self.start = on_start

    def finish(self, job, reason):
        self.by_name.setdefault(job.id, reason)


def run(output, jobs, workers=1, on_start=lambda job: None, execute=run_jobs, **given):
    """Runs jobs, and returns the reasons by name."""
    context = RunContext(output=output, cache=output, data=output, device="cpu", commit="", **given)
    watcher = _Reasons(on_start)
    execute(jobs, {job.id: 1.0 for job in jobs}, context, workers, watcher)
    return watcher.by_name


def executed(output):
    path = output / "executed.txt"
    return path.read_text().split() if path.exists() else []


def main():
    folder, options = Path(sys.argv[1]), json.loads(sys.argv[2])
    dummies = [DummyJob(f"j{number}", **options.get("job", {})) for number in range(options.get("jobs", 1))]
    executor = EXECUTORS.build(options.get("executor", "local"))
    patience = options.get("patience", 60.0)
    try:
        done = run(
            folder, dummies, options.get("workers", 1), execute=executor.run_jobs, lease_patience=patience
        )
    except Stopped as stopped:
        sys.exit(stopped.exit_status)
    except KeyboardInterrupt:
        sys.exit(1)
    sys.stdout.write(json.dumps(done))


if __name__ == "__main__":
    from tests.runner import dummy_jobs  # under the name by which nodes of a cluster find its classes

    dummy_jobs.main()
