"""How long a grid of thousands of cells takes that cost nothing: planning, dispatching, and finding it done.

    PYTHONPATH=. python tests/speed/grid_scale.py [--cells 10000] [--workers 2] [--report]

Planning is that of a run: every attack of the suite `cascade` and of the checks, two scenarios, many budgets
and seeds. The jobs are those of `tests/runner/tiny_grid.py`: workers load checkpoints, write records and
arrays with their checksums, and compute next to nothing. Memory is that of the process that hands out the
jobs, after a fifth of them and after all. The second run is the command line in a process of its own,
start-up included, without the report; `--report` says how long `--report-only` takes as well.

The last line is JSON.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from benchmark.core.source import ROOT
from benchmark.data import Folders
from benchmark.jobs import Job, RunContext
from benchmark.planning.config import Configuration
from benchmark.planning.grid import Grid, build_grid
from benchmark.planning.resolve import resolve
from benchmark.planning.todo import find_todo
from benchmark.runner.executor import run_jobs
from benchmark.runner.job_watcher import JobWatcher, Watchers
from benchmark.runner.run import run
from tests.runner.tiny_grid import TINY, made_tiny

SEEDS = 10


def megabytes() -> float:
    """Memory that this process holds now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def settings(cells: int) -> dict[str, Any]:
    """A configuration of at least so many cells."""
    budgets = max(1, round(cells / (2 * SEEDS * 12.6)))
    eps = [round(0.02 + 0.9 * number / budgets, 6) for number in range(budgets)]
    return {**TINY, "seeds": list(range(SEEDS)), "eps": eps, "training": {"epochs": 1, "validation": 0}}


class Took(NamedTuple):
    """What a call returned, its time, and the processor time of this process and those that it waited for."""

    found: Any
    seconds: float
    cpu: float


def timed(call: Callable[[], Any]) -> Took:
    started, before = time.perf_counter(), sum(os.times()[:4])
    found = call()
    return Took(found, time.perf_counter() - started, sum(os.times()[:4]) - before)


class Measured(JobWatcher):
    """Runs jobs as a run does, and notes how many ended when, and the memory then."""

    def __init__(self, jobs: int) -> None:
        self._jobs = jobs
        self._done = 0
        self.took = Took(None, 0.0, 0.0)
        self.memory: dict[int, float] = {}

    def __call__(
        self,
        jobs: list[Job],
        costs: dict[str, float],
        context: RunContext,
        workers: int,
        watcher: JobWatcher,
    ) -> None:
        self.took = timed(lambda: run_jobs(jobs, costs, context, workers, Watchers(self, watcher)))

    def finish(self, job: Job, reason: str | None) -> None:
        """Notes the memory at each fifth of the jobs."""
        self._done += 1
        percent = 100 * self._done // self._jobs
        if percent % 20 == 0 and percent not in self.memory:
            self.memory[percent] = megabytes()


def dispatch(grid: Grid, config: Configuration, output: Path, workers: int) -> dict[str, Any]:
    """Runs the grid with tiny jobs; this process hands them out."""
    tiny = made_tiny(grid)
    context = RunContext(
        output=output, cache=output, data=output, device="cpu", commit="unknown", workers=workers
    )
    context.store.check_writable()
    todo = find_todo(tiny, context.store)
    watch = Measured(len(todo.jobs))
    counts, whole, _ = timed(lambda: run(tiny, config, context, "grid_scale", False, watch))
    seconds = watch.took.seconds
    return {
        "jobs": len(todo.jobs),
        "done": counts["done"],
        "failed": counts["failed"],
        "dispatch_seconds": seconds,
        "dispatch_cpu_seconds_of_the_run": watch.took.cpu,
        "cells_per_second": counts["done"] / seconds,
        "jobs_per_second": len(todo.jobs) / seconds,
        "whole_run_seconds": whole,
        "megabytes_at_20_percent": watch.memory[20],
        "megabytes_at_100_percent": watch.memory[100],
    }


def again(config_file: Path, output: Path) -> Took:
    """Runs the command line over the finished grid, without its report."""
    program = (
        "import sys; from benchmark.cli import main, run_command; "
        "run_command.report = lambda output, *rest: output; sys.exit(main())"
    )
    command = [sys.executable, "-c", program, "--config", str(config_file), "--output", str(output)]
    command.append("--no-progress")
    took = timed(lambda: subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False))
    if took.found.returncode:
        sys.exit(f"The second run ended with status {took.found.returncode}: {took.found.stderr[-500:]}")
    return took


def main() -> int:
    """Measures, and writes a line for each part and a line of JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cells", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--report", action="store_true", help="measure --report-only too")
    parser.add_argument("--only-plan", action="store_true", help="plan, and run nothing")
    given = parser.parse_args()
    chosen = settings(given.cells)
    config = resolve(chosen)
    with tempfile.TemporaryDirectory() as temporary:
        output = Path(temporary) / "out"
        build_grid(resolve({**chosen, "eps": [0.1], "seeds": [0]}), Folders(output, output))  # imports
        grid, planning, _ = timed(lambda: build_grid(config, Folders(output, output)))
        context = RunContext(output=output, cache=output, data=output, device="cpu", commit="unknown")
        todo, finding, _ = timed(lambda: find_todo(grid, context.store))
        found = {"cells": todo.cells, "plan_seconds": planning + finding, "find_todo_seconds": finding}
        print(f"{todo.cells} cells planned in {planning + finding:.2f} s", flush=True)
        if not given.only_plan:
            found |= dispatch(grid, config, output, given.workers)
            print(
                f"dispatched in {found['dispatch_seconds']:.1f} s: {found['cells_per_second']:.0f} cells/s, "
                f"{found['megabytes_at_20_percent']:.0f} MB after a fifth, "
                f"{found['megabytes_at_100_percent']:.0f} MB at the end",
                flush=True,
            )
            config_file = Path(temporary) / "scale.yaml"
            config_file.write_text(json.dumps(chosen))  # JSON is YAML
            second = again(config_file, output)
            found |= {"cached_seconds": second.seconds, "cached_cpu_seconds": second.cpu}
            print(f"all cached in {second.seconds:.1f} s", flush=True)
        if given.report and not given.only_plan:
            command = [sys.executable, "run_benchmark.py", "--report-only", "--output", str(output)]
            report = timed(lambda: subprocess.run(command, cwd=ROOT, capture_output=True, check=False))
            found |= {"report_seconds": report.seconds, "report_cpu_seconds": report.cpu}
            print(f"report in {report.seconds:.1f} s, status {report.found.returncode}", flush=True)
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
