"""A run of a tiny grid by the command line's own function, in a process of its own.

    python -m tests.runner.tiny_run plan FOLDER SECONDS [SETTINGS]   # writes FOLDER/plan.pickle
    python -m tests.runner.tiny_run run FOLDER OPTIONS...            # the options of run_benchmark.py
    python -m tests.runner.tiny_run table OUTPUT                     # writes OUTPUT/cells.csv

Replaced are only the grid, by that of the plan, the board, by nothing, and the time after which a run without
a heartbeat counts as dead.
"""

import json
import sys
from pathlib import Path

from benchmark.cli import main, run_command
from benchmark.data.digits import Digits
from benchmark.planning import grid as planning
from benchmark.runner import executor
from benchmark.runner.leases import Leases

from . import tiny_grid

PATIENCE = 2.0
"""Seconds without a heartbeat after which a run counts as dead."""


def run(folder: Path, arguments: list[str]) -> int:
    _, grid = tiny_grid.load_plan(folder / "plan.pickle")
    planning.build_grid = lambda config, folders: grid
    run_command.report = lambda output, *rest: output / "leaderboard.md"
    executor.Leases = lambda leases, patience: Leases(leases, PATIENCE)
    sys.argv[1:] = ["--config", str(folder / "plan.yaml"), "--no-progress", *arguments]
    return main()


def plan(folder: Path, seconds: str, settings: str = "{}") -> int:
    chosen = json.loads(settings)
    (folder / "plan.yaml").write_text(json.dumps({**tiny_grid.TINY, **chosen}))  # JSON is YAML
    tiny_grid.save_plan(folder / "plan.pickle", chosen, float(seconds))
    return 0


def table(output: Path) -> int:
    from benchmark.records import Store
    from benchmark.report.cell_results import Run
    from benchmark.report.csv_files import cells_frame, write_csv

    write_csv(cells_frame(Run(Store(output))), output / "cells.csv")
    return 0


COMMANDS = {
    "plan": lambda folder, *given: plan(Path(folder), *given),
    "run": lambda folder, *given: run(Path(folder), list(given)),
    "table": lambda output: table(Path(output)),
}

if __name__ == "__main__":
    Digits.read = tiny_grid.read_noise
    sys.exit(COMMANDS[sys.argv[1]](*sys.argv[2:]))
