"""How fast forward and backward passes are by the number of images in a batch, on one thread.

    PYTHONPATH=. python tests/speed/batch_speed.py [--processes 2] [--embedders mobilenetv2_100-224]

Each network passes at least `--images` images in batches of each size, in turns; the figure is the median
over turns of images per second of one process. The size that attacks on a CPU take
(`attacks.images_per_pass`) is marked. `--processes` measures in as many processes at once, as a run with that
many workers computes.

Random weights, batch norm folded and channels last, as the benchmark loads its models. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import torch
from attack_speed import Setting, build_problem

from attacks import images_per_pass
from benchmark.core.cpu import keep_freed_memory

BATCHES = (4, 8, 16, 32, 47, 48, 64, 128, 144, 256)
NETWORKS = (
    ("smallconv", 28),
    ("resnet18", 64),
    ("tf_efficientnet_lite0", 64),
    ("tf_efficientnet_lite0", 128),
    ("tf_efficientnet_lite0", 224),
    ("mobilenetv2_100", 224),
    ("resnet50", 224),
)
MOST_PIXELS = 256 * 96 * 96
"""Larger batches are not measured, as for the memory they would not be taken."""


def measure(backbone: str, side: int, images: int, turns: int) -> dict[int, float]:
    """Returns images per second by batch size."""
    torch.set_num_threads(1)
    keep_freed_memory()
    network = build_problem(Setting(backbone, side, 2, 1, 2), "cpu").embedder
    channels = 1 if backbone == "smallconv" else 3
    sizes = [size for size in BATCHES if size * side * side <= MOST_PIXELS]
    taken: dict[int, list[float]] = {size: [] for size in sizes}
    for turn in range(turns + 1):
        for size in sizes:
            pixels = torch.rand(size, channels, side, side).contiguous(memory_format=torch.channels_last)
            passes = max(1, images // size)
            started = time.perf_counter()
            for _ in range(passes):
                attacked = pixels.detach().requires_grad_(True)
                torch.autograd.grad(network(attacked).sum(), attacked)
            if turn:  # the first warms up
                taken[size].append(passes * size / (time.perf_counter() - started))
    return {size: statistics.median(found) for size, found in taken.items()}


def main() -> None:
    """Measures, and writes a line for each network and a line of JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [f"{name}-{side}" for name, side in NETWORKS]
    parser.add_argument("--embedders", nargs="+", choices=names, default=names)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--images", type=int, default=32)
    given = parser.parse_args()
    rows = []
    with ProcessPoolExecutor(given.processes, mp_context=get_context("spawn")) as pool:
        for name in given.embedders:
            backbone, side = name.rsplit("-", 1)
            jobs = [
                pool.submit(measure, backbone, int(side), given.images, given.turns)
                for _ in range(given.processes)
            ]
            found = [job.result() for job in jobs]
            speeds = {size: statistics.mean(one[size] for one in found) for size in found[0]}
            own = images_per_pass((3, int(side), int(side)))
            shown = [f"{size}{'*' if size == own else ''}: {speed:.1f}" for size, speed in speeds.items()]
            print(f"{name:<26} {'  '.join(shown)}", flush=True)
            rows.append({"embedder": name, "taken": own, "images_per_second": speeds})
    print(json.dumps({"processes": given.processes, "rows": rows}))


if __name__ == "__main__":
    main()
