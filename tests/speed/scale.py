"""Does an attack step fit a pool of 60,000 images of dimension 512? Peak memory and time.

    python tests/speed/scale.py [--images 60000] [--classes 11316] [--threads 2]

Images are tiny and the embedder is one layer, so that what is measured is the objective's own work: comparing
each image with the whole pool. The unit is one product of the pool with itself (n x n x d), in chunks.
"""

from __future__ import annotations

import argparse
import resource
import time

import torch
import torch.nn.functional as F
from torch import nn

from attacks import ATTACKS, Problem
from benchmark.core.embedder import Embedder

OBJECTIVES = ("own", "neighbour", "pool", "information", "recluster", "scatter")


class OneLayer(Embedder):
    """A linear layer to unit vectors."""

    def __init__(self, pixels: int, dim: int) -> None:
        super().__init__()
        self.layer = nn.Linear(pixels, dim)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return F.normalize(self.layer(images.flatten(1) - 0.5))


def bare_product(embeddings: torch.Tensor) -> float:
    """Seconds that the pool's product with itself takes, chunk by chunk."""
    started = time.perf_counter()
    for part in embeddings.split(256):
        part @ embeddings.t()
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=60_000)
    parser.add_argument("--classes", type=int, default=11_316)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--objectives", nargs="+", default=OBJECTIVES)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    model = OneLayer(48, given.dim).eval().requires_grad_(False)
    images = torch.rand(given.images, 3, 4, 4)
    labels = torch.arange(given.images) % given.classes
    ids = torch.arange(given.images)
    unit = bare_product(Problem(model, images, labels, ids, "linf", 0.1).clean)
    print(f"{given.images} x {given.dim}, {given.classes} classes; pool x pool: {unit:.1f} s")
    print(
        "| objective | one step, in units of pool x pool | seconds | peak memory, GB |\n|---|---:|---:|---:|"
    )
    for name in given.objectives:
        problem = Problem(model, images, labels, ids, "linf", 0.1)
        started = time.perf_counter()
        ATTACKS.build(f"pgd[objective={name},steps=1]").run(problem)
        took = time.perf_counter() - started
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(f"| `{name}` | {took / unit:.1f} | {took:.0f} | {peak:.1f} |", flush=True)


if __name__ == "__main__":
    main()
