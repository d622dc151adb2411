"""How long do commands take that compute nothing, and how much memory? Each beside a bare `import torch`.

    python tests/speed/startup.py [--repeats 3] [--without-run]

Each command runs in a process of its own, on one thread. Shown is the run with the least CPU time: seconds of
CPU time and by the clock, the CPU time as a multiple of that of `import torch`, and the peak memory. The
second run of a finished command needs a first run of the preset `smoke` (half a minute), which
`--without-run` leaves out. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = [sys.executable, str(ROOT / "run_benchmark.py")]
NETWORK = """
from torch import nn


def make():
    return nn.Sequential(nn.Conv2d(1, 8, 3), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(128, 16))
"""
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def measure(command: list[str]) -> dict[str, float]:
    """Runs a command; returns its CPU time and time in seconds, and its peak memory in MB."""
    start = time.perf_counter()
    process = subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(command)} ended with status {process.returncode}.")
    memory = usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    return {"cpu": usage.ru_utime + usage.ru_stime, "wall": time.perf_counter() - start, "memory": memory}


def main() -> None:
    """Measures each command, and writes a table and a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--repeats", type=int, default=3, help="runs of each command (default: 3)")
    parser.add_argument("--without-run", action="store_true", help="do not run the preset smoke")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        network = Path(folder) / "net.py"
        network.write_text(NETWORK)
        smoke = [*PROGRAM, "--preset", "smoke", "--output", f"{folder}/smoke", "--no-progress"]
        dry = ["--dry-run", "--output", folder]
        commands = {
            "import torch": [sys.executable, "-c", "import torch"],
            "--help": [*PROGRAM, "--help"],
            "--list": [*PROGRAM, "--list"],
            "--preset smoke --dry-run": [*PROGRAM, "--preset", "smoke", *dry],
            "--preset paper --dry-run": [*PROGRAM, "--preset", "paper", *dry],
            "--model net.py:make --dry-run": [*PROGRAM, "--model", f"{network}:make", *dry],
            "imports of workers": [sys.executable, "-c", "import benchmark.runner.preload"],
        }
        if not options.without_run:
            measure(smoke)
            commands["second run of --preset smoke"] = smoke
            commands["--report-only"] = [*PROGRAM, "--report-only", "--output", f"{folder}/smoke"]
        rows = []
        print(f"{'command':<30} {'CPU s':>7} {'s':>7} {'x torch':>8} {'MB':>7}")
        for name, command in commands.items():
            best = min((measure(command) for _ in range(options.repeats)), key=lambda found: found["cpu"])
            rows.append({"command": name, **best})
            ratio = best["cpu"] / rows[0]["cpu"]
            print(f"{name:<30} {best['cpu']:7.2f} {best['wall']:7.2f} {ratio:8.2f} {best['memory']:7.0f}")
    print(json.dumps({"rows": rows}))


if __name__ == "__main__":
    main()
