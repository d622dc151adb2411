"""Compares the preset smoke on the CPU and on a GPU, cell by cell.

    PYTHONPATH=. python tests/speed/device_cells.py [--device cuda] [--output FOLDER]

Both runs are made by the command line; cells that are done in FOLDER are not computed again. With `--device
cpu` both are on the CPU, and nothing may differ. The last line is JSON: for each metric the number of cells,
and its mean and its largest difference.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
KEYS = ("dataset", "backbone", "loss", "defense", "seed", "compute", "scenario", "attack", "norm", "eps")


def read_values(file: Path) -> dict[str, dict[str, float]]:
    """Reads `cells.csv`: for each metric its values, by the words that name a cell."""
    found: dict[str, dict[str, float]] = defaultdict(dict)
    with file.open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            if row["value"]:
                found[row["metric"]][" ".join(row[key] for key in KEYS)] = float(row["value"])
    return found


def compare(
    left: Mapping[str, Mapping[str, float]], right: Mapping[str, Mapping[str, float]]
) -> list[dict[str, object]]:
    """Compares the values of the cells that both runs have.

    Returns:
        For each metric the number of cells, how many only one run has, the mean and the largest difference,
        and the cell of the largest.
    """
    rows: list[dict[str, object]] = []
    for metric in sorted(left.keys() | right.keys()):
        one, other = left.get(metric, {}), right.get(metric, {})
        found = [(abs(one[cell] - other[cell]), cell) for cell in one.keys() & other.keys()]
        most, where = max(found, default=(0.0, ""))
        mean = math.fsum(difference for difference, _ in found) / max(1, len(found))
        alone = len(one.keys() ^ other.keys())
        row = {"cells": len(found), "unmatched": alone, "mean": round(mean, 6), "largest": round(most, 6)}
        rows.append({"metric": metric, **row, "where": where})
    return rows


def run_smoke(device: str, folder: Path, defenses: str | None) -> float:
    """Runs the preset smoke on a device; returns its time in seconds."""
    program = [sys.executable, str(ROOT / "run_benchmark.py"), "--preset", "smoke", "--no-progress"]
    asked = ["--device", device, "--output", str(folder), *(["--defenses", defenses] if defenses else [])]
    started = time.perf_counter()
    done = subprocess.run([*program, *asked], check=False)
    if done.returncode:
        sys.exit(f"The preset smoke on {device} ended with status {done.returncode}.")
    return time.perf_counter() - started


def main() -> int:
    """Runs both, and writes a line of JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--defenses", help="only these")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.output or Path(temporary)
        seconds = {
            "first_seconds": run_smoke(options.device, folder / options.device, options.defenses),
            "second_seconds": run_smoke("cpu", folder / "reference", options.defenses),
        }
        left, right = (read_values(folder / name / "cells.csv") for name in (options.device, "reference"))
    print(json.dumps({"device": options.device, **seconds, "metrics": compare(left, right)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
