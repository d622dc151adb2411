"""How long a grid takes, compared with its forward and backward passes alone.

    PYTHONPATH=. python tests/speed/grid_speed.py [--preset default] [--quick] [--workers 2] [--defenses eat]

The grid is computed by the command line into a new folder. The floor is the sum of the passes that its
records count, at the rate of bare passes of the backbone: as many processes as there are workers, one thread
each, make forward and backward passes of a batch at the same time, before the grid and after it. Time beyond
the floor is start-up, data, optimizers, similarities, scores and the report. A backward pass to the
parameters counts as two units, as in the records.

`--quick` takes the preset smoke. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
BATCH = 256


def bare_rate(backbone: str, side: int, channels: int, seconds: float) -> float:
    """Measures the units per second of bare forward and backward passes to the input, in this process.

    Args:
        backbone: its name.
        side, channels: of the images.
        seconds: how long to measure.
    """
    import torch

    from benchmark.core.cpu import keep_freed_memory
    from benchmark.models import BACKBONES, fold_batch_norm

    torch.set_num_threads(1)
    keep_freed_memory()
    model = BACKBONES.build(backbone).build_random((channels, side, side))
    model = model.to(memory_format=torch.channels_last).eval().requires_grad_(False)
    fold_batch_norm(model)
    batch = max(1, min(BATCH, 47 * 224**2 // side**2))
    pixels = torch.rand(batch, channels, side, side).requires_grad_(True)

    def both() -> None:
        torch.autograd.grad(model(pixels).sum(), pixels)

    both()
    passes, started = 0, time.perf_counter()
    while (took := time.perf_counter() - started) < seconds:
        both()
        passes += 2
    return passes * batch / took


def rate_of_all(workers: int, *setting: object) -> float:
    """Measures the units per second of as many processes as workers, at the same time."""
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        return sum(pool.starmap(bare_rate, [setting] * workers, chunksize=1))


def units_of(output: Path) -> dict[str, float]:
    """Sums the cost units that the records of an output folder count: of trainings, and of attacks."""
    from benchmark.records import Store

    store = Store(output)
    manifest = json.loads((output / "store" / "run.json").read_text())
    attacks: dict[tuple[object, ...], float] = {}
    for cell_id in {cell["id"] for cell in manifest["cells"]}:
        record = store.cell(cell_id)
        if record is not None and record.forward_passes:
            # The scenarios of one attack share its passes.
            key = (record.model_id, record.key.attack, record.key.norm, record.key.eps, record.seconds)
            attacks[key] = record.forward_passes + record.backward_passes
    models = [store.model(model_id) for model_id in {key[0] for key in attacks}]
    trained = sum(getattr(record, "cost", 0.0) or 0.0 for record in models if record is not None)
    return {"training": trained, "attacks": sum(attacks.values())}


def main() -> int:
    """Measures, and writes a table and a line of JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--preset", default="default")
    parser.add_argument("--quick", action="store_true", help="the preset smoke")
    parser.add_argument("--defenses", help="only these")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--backbone", default="smallconv", help="of the preset")
    parser.add_argument("--side", type=int, default=28, help="of its images, in pixels")
    parser.add_argument("--channels", type=int, default=1)
    options = parser.parse_args()
    if options.workers < 1:
        parser.error(f"--workers takes a number from 1; it was given {options.workers}")
    os.environ.update(dict.fromkeys(THREADS, "1"), PYTHONPATH=str(ROOT))
    preset = "smoke" if options.quick else options.preset
    setting = (options.backbone, options.side, options.channels, 2.0 if options.quick else 10.0)
    with tempfile.TemporaryDirectory() as folder:
        before = rate_of_all(options.workers, *setting)
        wall = run_grid(preset, options.workers, options.defenses, Path(folder))
        after = rate_of_all(options.workers, *setting)
        units = units_of(Path(folder))
    rate = (before + after) / 2
    floor = sum(units.values()) / rate
    print(f"{options.workers} workers, bare passes: {before:,.0f} units/s before, {after:,.0f} after")
    print(f"{preset}: {units['training']:,.0f} units of training, {units['attacks']:,.0f} of attacks")
    print(f"{wall:.1f} s, {wall / floor:.2f} times the floor of {floor:.1f} s")
    found = {
        "preset": preset,
        "workers": options.workers,
        "units": units,
        "rate": rate,
        "rate_before": before,
        "rate_after": after,
        "wall_seconds": wall,
        "floor_seconds": floor,
        "ratio_to_floor": wall / floor,
    }
    print(json.dumps(found))
    return 0


def run_grid(preset: str, workers: int, defenses: str | None, output: Path) -> float:
    """Runs a preset by the command line; returns its time in seconds."""
    command: Sequence[str] = [
        sys.executable,
        str(ROOT / "run_benchmark.py"),
        *("--preset", preset, "--device", "cpu", "--workers", str(workers), "--no-progress"),
        *("--output", str(output)),
        *(["--defenses", defenses] if defenses else []),
    ]
    started = time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)} ended with status {done.returncode}.")
    return time.perf_counter() - started


if __name__ == "__main__":
    sys.exit(main())
