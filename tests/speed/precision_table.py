"""What a lower precision of the search costs an attacker: worst cases by precision, on the same models.

    python tests/speed/precision_table.py --output DIR [--device cuda] [options of run_benchmark.py]

Runs the benchmark once for each precision that the device has, in one folder, so that all attack the same
checkpoints. Writes the worst case of each row by precision, by how many points it is higher than that of
float32, and the standard deviation over seeds that float32 has. Where it is higher, the search in the lower
precision found less: a precision may be the default where it is nowhere higher by more than that spread.
Without options: the smoke preset with the standard attacks and three seeds. Seconds are those of the attacks,
which compare only if nothing else runs. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
from math import isnan
from pathlib import Path

import pandas as pd
import torch

import benchmark
from attacks import PRECISIONS, WHOLE, check_precision
from benchmark.core.errors import UsageError
from benchmark.core.hardware import hardware

ROOT = Path(__file__).resolve().parents[2]
DEFAULT = ["--preset", "smoke", "--attacks", "standard", "--seeds", "0", "1", "2"]
KEY = ["dataset", "backbone", "defense", "norm", "eps"]
METRICS = ("r1", "ami")


def offered(device: str) -> list[str]:
    """Returns the precisions that a device has, float32 first."""
    found = []
    for name in PRECISIONS:
        try:
            check_precision(name, device)
        except UsageError:
            continue
        found.append(name)
    return found


def run(precision: str, output: Path, device: str, options: list[str]) -> tuple[pd.DataFrame, float]:
    """Runs the benchmark; returns its leaderboard, and the seconds of all attacks."""
    command = [sys.executable, str(ROOT / "run_benchmark.py"), *options]
    command += ["--attack-precision", precision, "--output", str(output), "--device", device]
    subprocess.run([*command, "--no-progress"], check=True, stdout=subprocess.DEVNULL)
    results = benchmark.load_results(output)
    attacks = results.cells[[*KEY, "seed", "attack", "seconds"]].drop_duplicates()
    return results.leaderboard.set_index(KEY), float(attacks["seconds"].sum())


def compare(boards: dict[str, pd.DataFrame]) -> list[dict[str, object]]:
    """Returns a row for each row of the leaderboard, precision and metric, in points."""
    rows: list[dict[str, object]] = []
    whole = boards[WHOLE]
    for name, board in boards.items():
        for key, row in board.iterrows():
            for metric in METRICS:
                worst, spread = f"worst_{metric}", float(whole.loc[key, f"worst_{metric}_std"])
                rows.append(
                    {
                        **dict(zip(KEY, key, strict=True)),
                        "precision": name,
                        "metric": metric,
                        "worst": round(100 * row[worst], 2),
                        "higher_by": round(100 * (row[worst] - whole.loc[key, worst]), 2),
                        "spread": None if isnan(spread) else round(100 * spread, 2),
                    }
                )
    return rows


def main() -> None:
    """Runs, compares and writes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--precisions", nargs="+", help="by default all that the device has")
    given, options = parser.parse_known_args()
    names = list(dict.fromkeys([WHOLE, *(given.precisions or offered(given.device))]))
    boards, seconds = {}, {}
    for name in names:
        boards[name], seconds[name] = run(name, given.output, given.device, options or DEFAULT)
    rows = compare(boards)
    sys.stdout.write(f"{hardware(given.device)}, torch {torch.__version__}\n")
    sys.stdout.write(f"{'row':<28}{'metric':<8}{'precision':<12}{'worst':>8}{'higher by':>11}{'spread':>8}\n")
    for row in rows:
        spread = "-" if row["spread"] is None else f"{row['spread']:.2f}"
        line = f"{row['defense']:<28}{row['metric']:<8}{row['precision']:<12}{row['worst']:>8.2f}"
        sys.stdout.write(f"{line}{row['higher_by']:>+11.2f}{spread:>8}\n")
    for name, spent in seconds.items():
        sys.stdout.write(f"attacks in {name}: {spent:.0f} s\n")
    machine = {"device": hardware(given.device), "torch": torch.__version__, "system": platform.platform()}
    sys.stdout.write(json.dumps({"rows": rows, "attack_seconds": seconds, "machine": machine}) + "\n")


if __name__ == "__main__":
    main()
