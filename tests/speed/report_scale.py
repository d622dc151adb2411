"""How long `--report-only` takes for ten thousand records, of which nothing or one changed.

    PYTHONPATH=. python tests/speed/report_scale.py [--cells 10000] [--pictures]

The records are those of an invented run (`tests/report/fake_run.py`): four rows, ten seeds, two scenarios,
three attacks and as many budgets as it takes. Each report is the command line in a process of its own. Times
are of the wall and of the processor; on a machine that does other work too, only the second says something.
Without `--pictures` none is drawn.

The last line is JSON.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmark.core.source import ROOT
from benchmark.records.store import Store
from tests.report.fake_run import FakeRun

SEEDS = 10
CELLS_OF_A_BUDGET = 4 * SEEDS * 2 * 3
NO_PICTURES = (
    "import sys; from benchmark.report import figures; from benchmark.report.drawing import Drawn; "
    "figures.draw_all = lambda pictures, *rest: {one.path: Drawn(False) for one in pictures}; "
    "from benchmark.cli import main; sys.exit(main())"
)


def report(output: Path, pictures: bool) -> dict[str, float]:
    """Writes the report, and measures it in seconds."""
    program = ["run_benchmark.py"] if pictures else ["-c", NO_PICTURES]
    command = [sys.executable, *program, "--report-only", "--output", str(output)]
    started, before = time.perf_counter(), sum(os.times()[2:4])
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if ended.returncode:
        sys.exit(f"The report ended with status {ended.returncode}: {ended.stderr[-500:]}")
    return {"seconds": time.perf_counter() - started, "cpu_seconds": sum(os.times()[2:4]) - before}


def main() -> int:
    """Measures, and writes a line for each report and a line of JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cells", type=int, default=10_000)
    parser.add_argument("--pictures", action="store_true", help="draw the pictures, which takes minutes")
    given = parser.parse_args()
    budgets = max(1, round(given.cells / CELLS_OF_A_BUDGET))
    eps = tuple(round(0.05 + 0.9 * number / budgets, 6) for number in range(budgets))
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder)
        manifest = FakeRun(seeds=tuple(range(SEEDS)), eps=eps, curve_eps=(), checks={}).write(output)
        print(f"{len(manifest.cells)} cells of {budgets} budgets", flush=True)
        for name in ("first", "nothing changed", "one cell changed"):
            if name == "one cell changed":
                store = Store(output)
                record = store.cell(manifest.cells[-1].id)
                if record is None:
                    sys.exit("The record that was to change is not there.")
                store.save_cell(record.model_copy(update={"seconds": 1.5}), store.arrays(record.id))
            found[name] = report(output, given.pictures)
            took = found[name]
            print(f"{name}: {took['seconds']:.1f} s, CPU {took['cpu_seconds']:.1f} s", flush=True)
    print(json.dumps({"cells": len(manifest.cells), **found}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
