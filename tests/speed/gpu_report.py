"""All measurements that need a GPU, in one command for whoever has one.

    PYTHONPATH=. python tests/speed/gpu_report.py [--device cuda] [--output gpu_report] [--parts attacks]

The parts: speed of attacks and of trainings, worst cases by the precision of the search, the profile of a
training on photographs, and the preset smoke on the CPU and the GPU compared cell by cell. Each is a process
of its own with a time limit; together they take at most six minutes. What a part found is written at once,
as JSON and text, under 5 MB in all. A part that is done is not run again by the next call with the same
folder. The last file is `summary.md`. The exit status is 1 when a part failed.

`--device cpu` runs the same parts, smaller, which tests this script where there is no GPU.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from report_parts import Part, run_part, write_summary

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent


def list_parts(device: str, folder: Path) -> list[Part]:
    """Lists the parts, the most valuable first.

    Args:
        device: "cuda" or "cpu".
        folder: of the report; the runs of the preset are kept beside it.
    """
    before = os.environ.get("PYTHONPATH")
    path = {"PYTHONPATH": os.pathsep.join([str(ROOT), *([before] if before else [])])}
    small = device == "cpu"

    def script(name: str, *arguments: str) -> list[str]:
        return [sys.executable, str(HERE / name), "--device", device, *arguments]

    attacks = ["--quick", *(["--embedders", "smallconv-28", "--turns", "1"] if small else [])]
    runs = folder.with_name(f"{folder.name}-runs")
    asked = ["--preset", "smoke", "--defenses", "vanilla,pgd_at", "--seeds", "0", "1"]
    precision = ["--output", str(runs / "precision"), *asked]
    cells = ["--output", str(runs), "--defenses", "vanilla" if small else "vanilla,pgd_at"]
    return [
        Part("attacks", script("attack_speed.py", *attacks), 90, path),
        Part("profile", script("photograph_profile.py", "--quick"), 45, path),
        Part("trainings", script("training_speed.py", "--quick"), 75, path),
        Part("cells", script("device_cells.py", *cells), 65, path),
        Part("precision", script("precision_table.py", *precision), 85, path),
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the parts that are not done, and writes the summary."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda")
    parser.add_argument("--output", type=Path, default=Path("gpu_report"))
    parser.add_argument("--parts", nargs="+", help="only these")
    options = parser.parse_args(arguments)
    if options.device == "cuda" and not torch.cuda.is_available():
        sys.stderr.write("--device cuda: torch finds no GPU here; use --device cpu.\n")
        return 2
    folder = options.output.resolve()
    parts = list_parts(options.device, folder)
    names = [part.name for part in parts]
    if unknown := set(options.parts or []) - set(names):
        sys.stderr.write(f"--parts: unknown {', '.join(sorted(unknown))}. Valid: {', '.join(names)}.\n")
        return 2
    chip = torch.cuda.get_device_name() if options.device == "cuda" else platform.processor() or "CPU"
    title = f"Speed on {chip}, torch {torch.__version__}"
    return run_parts([part for part in parts if part.name in (options.parts or names)], folder, title)


def run_parts(parts: Sequence[Part], folder: Path, title: str) -> int:
    """Runs the parts one after another; returns 1 when one has failed, else 0.

    Raises:
        SystemExit: when the folder holds a report of another machine or device.
    """
    folder.mkdir(parents=True, exist_ok=True)
    machine = folder / "machine.json"
    if machine.exists() and json.loads(machine.read_text()) != title:
        sys.exit(f"{folder} holds another report ({json.loads(machine.read_text())}); give another --output.")
    machine.write_text(json.dumps(title))
    found = []
    for part in parts:
        print(f"{part.name}: at most {part.limit:g} s ...", flush=True)
        found.append(run_part(part, folder))
        print(
            f"{part.name}: {found[-1]['status']} in {found[-1]['seconds']} s {found[-1]['reason']}",
            flush=True,
        )
        write_summary(folder, title, found)
    print(folder / "summary.md")
    return int(any(part["status"] != "done" for part in found))


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that the running part is ended, too
    sys.exit(main())
