"""What a lower precision of the search costs an attacker: worst cases by precision, on the same models.

    python tests/speed/precision_table.py --output DIR [--device cuda] [options of run_benchmark.py]

Runs the benchmark once for each precision that the device has, in one folder, so that all attack the same
checkpoints. Writes the worst case of each row by precision, by how many points it is higher than that of
float32, and the standard deviation over seeds that float32 has. Where it is higher, the search in the lower
precision found less: a precision may be the default where it is nowhere higher by more than that spread.
Without options: the smoke preset with the standard attacks and three seeds. With `--model NAME --weights FILE
--datasets folder:PATH[size=N]` it is about a network and images of your own. Below the rows stand the metrics
of each attack alone, with the mean of its objective. Seconds are those of the attacks, which compare only if
nothing else runs. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from statistics import mean

import pandas as pd
import torch

import benchmark
from attacks import PRECISIONS, WHOLE, check_precision
from benchmark.core.errors import UsageError
from benchmark.core.hardware import hardware
from benchmark.records import CLEAN, Store

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
                worst, spread = f"worst_{metric}", pd.to_numeric(whole.loc[key, f"worst_{metric}_std"])
                rows.append(
                    {
                        **dict(zip(KEY, key, strict=True)),
                        "precision": name,
                        "metric": metric,
                        "worst": round(100 * row[worst], 2),
                        "higher_by": round(100 * (row[worst] - whole.loc[key, worst]), 2),
                        "spread": None if pd.isna(spread) else round(100 * spread, 2),
                    }
                )
    return rows


def each_attack(precision: str, output: Path) -> list[dict[str, object]]:
    """Returns each attack's metrics, in percent, and objective, as means over the seeds of the last run."""
    store = Store(output)
    found: dict[tuple[str, str, float], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for ref in store.manifest().cells:
        record = store.cell(ref.id)
        if ref.key.attack == CLEAN or record is None or record.status != "done":
            continue
        values = found[ref.key.defense, ref.key.attack, ref.key.eps]
        if record.objective is not None and ref.key.scenario == "clustering":
            values["objective"].append(record.objective)
        for metric in METRICS:
            if metric in record.metrics and not record.follows:
                values[metric].append(100 * record.metrics[metric])
    return [
        {
            "row": row,
            "attack": attack,
            "eps": eps,
            "precision": precision,
            **{name: round(mean(numbers), 4) for name, numbers in values.items()},
        }
        for (row, attack, eps), values in found.items()
    ]


def main() -> None:
    """Runs, compares and writes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--precisions", nargs="+", help="by default all that the device has")
    given, options = parser.parse_known_args()
    names = list(dict.fromkeys([WHOLE, *(given.precisions or offered(given.device))]))
    boards, seconds, attacks = {}, {}, []
    for name in names:
        boards[name], seconds[name] = run(name, given.output, given.device, options or DEFAULT)
        attacks += each_attack(name, given.output)
    rows = compare(boards)
    sys.stdout.write(f"{hardware(given.device)}, torch {torch.__version__}\n")
    sys.stdout.write(f"{'row':<28}{'metric':<8}{'precision':<12}{'worst':>8}{'higher by':>11}{'spread':>8}\n")
    for row in rows:
        spread = "-" if row["spread"] is None else f"{row['spread']:.2f}"
        line = f"{row['defense']:<28}{row['metric']:<8}{row['precision']:<12}{row['worst']:>8.2f}"
        sys.stdout.write(f"{line}{row['higher_by']:>+11.2f}{spread:>8}\n")
    for one in sorted(attacks, key=lambda one: (str(one["row"]), str(one["attack"]), str(one["eps"]))):
        numbers = "  ".join(f"{name} {one[name]:.4g}" for name in (*METRICS, "objective") if name in one)
        sys.stdout.write(
            f"{one['row']}  {one['attack']}  eps {one['eps']:.4g}  {one['precision']}: {numbers}\n"
        )
    for name, spent in seconds.items():
        sys.stdout.write(f"attacks in {name}: {spent:.0f} s\n")
    machine = {"device": hardware(given.device), "torch": torch.__version__, "system": platform.platform()}
    sys.stdout.write(
        json.dumps({"rows": rows, "attacks": attacks, "attack_seconds": seconds, "machine": machine}) + "\n"
    )


if __name__ == "__main__":
    main()
