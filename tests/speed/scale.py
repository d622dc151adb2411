"""Do an attack step and the metrics fit a pool of 60,000 images of dimension 512? Peak memory and time.

    python tests/speed/scale.py [--images 60000] [--classes 11316] [--threads 2]
    python tests/speed/scale.py --metrics cub200 inshop sop [--fraction 0.1] [--seeds 1] [--threads 2]

Steps: images are tiny and the embedder is one layer, so that what is measured is the objective's own work:
comparing each image with the whole pool. The unit is one product of the pool with itself (n x n x d), in
chunks.

Metrics: unit vectors in as many noisy classes as the test set of each data set has, each metric in a process
of its own. The unit is one float32 product of the shape that a metric cannot do without: n x n x d for
retrieval, n x k x d for a k-means, as CPU seconds of 2,048 rows, scaled up. The peak is that of the process
with its libraries and its embeddings. `--fraction` takes a part of the images and of the classes: retrieval
and k-means cost its square.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import NamedTuple

import faiss
import numpy as np
import torch
import torch.nn.functional as F
from threadpoolctl import threadpool_limits
from torch import nn

from attacks import ATTACKS, Problem
from benchmark.core.embedder import Embedder
from benchmark.metrics import clustering_metrics, kmeans_assign, retrieve

OBJECTIVES = ("own", "neighbour", "pool", "information", "recluster", "scatter")


class Pool(NamedTuple):
    """The test set of a data set, and the K of its Recall@K."""

    images: int
    classes: int
    ks: tuple[int, ...]


POOLS = {
    "cub200": Pool(5_924, 100, (1, 2, 4, 8)),
    "inshop": Pool(26_830, 3_985, (1, 10, 20, 30)),
    "sop": Pool(60_502, 11_316, (1, 10, 100, 1000)),
}


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


def peak_gb() -> float:
    """The most memory that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def steps(given: argparse.Namespace) -> None:
    """One step of an attack on each objective."""
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
        print(f"| `{name}` | {took / unit:.1f} | {took:.0f} | {peak_gb():.1f} |", flush=True)


def noisy_classes(pool: Pool, dim: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Unit vectors, (n, dim), and their classes, (n,); they overlap, so that no metric is 1."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(pool.images) % pool.classes
    centres = F.normalize(torch.randn(pool.classes, dim, generator=generator))
    noise = torch.randn(pool.images, dim, generator=generator).mul_(2 / dim**0.5)
    return F.normalize(noise.add_(centres[labels])), labels


class Measured(NamedTuple):
    """What a metric took; the unit in CPU seconds, nan where there is none."""

    wall: float
    cpu: float
    unit: float
    peak: float
    found: str


def measured(run: Callable[[], str], unit: float) -> Measured:
    """Runs it once."""
    wall, cpu = time.perf_counter(), time.process_time()
    found = run()
    return Measured(time.perf_counter() - wall, time.process_time() - cpu, unit, peak_gb(), found)


def unit_of(queries: torch.Tensor, others: torch.Tensor) -> float:
    """CPU seconds of the float32 product of all queries with all others, from 2,048 queries."""
    few = queries[:2048]
    few[:256] @ others.t()
    started = time.process_time()
    for part in few.split(256):
        part @ others.t()
    return (time.process_time() - started) * len(queries) / len(few)


def retrieval(pool: Pool, dim: int, seed: int) -> Measured:
    """Each image queries all others."""
    embeddings, labels = noisy_classes(pool, dim)
    ids = torch.arange(pool.images)

    def run() -> str:
        means = retrieve(embeddings, embeddings, labels, labels, ids, ids, ks=pool.ks).means()
        return ", ".join(f"{name} {value:.3f}" for name, value in means.items())

    return measured(run, unit_of(embeddings, embeddings))


def kmeans(pool: Pool, dim: int, seed: int) -> Measured:
    """k-means once, k the number of classes."""
    embeddings, labels = noisy_classes(pool, dim)

    def run() -> str:
        assigned = kmeans_assign(embeddings, pool.classes, seed)
        return f"AMI {clustering_metrics(labels, assigned)['ami']:.4f}"

    return measured(run, unit_of(embeddings, embeddings[: pool.classes]))


def agreement(pool: Pool, dim: int, seed: int) -> Measured:
    """AMI, NMI and F1 of an assignment that leaves two thirds of the points in their class."""
    random = np.random.default_rng(seed)
    labels = np.arange(pool.images) % pool.classes
    assigned = np.where(random.random(pool.images) < 1 / 3, random.permutation(labels), labels)
    return measured(lambda: f"AMI {clustering_metrics(labels, assigned)['ami']:.4f}", float("nan"))


def alone(
    metric: Callable[[Pool, int, int], Measured], pool: Pool, dim: int, seed: int, threads: int
) -> Measured:
    """A metric in a fresh process, with that many threads in every library."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context) as executor:
        return executor.submit(limited, metric, pool, dim, seed, threads).result()


def limited(
    metric: Callable[[Pool, int, int], Measured], pool: Pool, dim: int, seed: int, threads: int
) -> Measured:
    """As `metric`, in this process."""
    torch.set_num_threads(threads)
    faiss.omp_set_num_threads(threads)
    with threadpool_limits(threads):
        return metric(pool, dim, seed)


def metrics(given: argparse.Namespace) -> None:
    """Retrieval, k-means and the clustering metrics of each data set."""
    print("| pool | metric | seconds | CPU seconds | in products | peak memory, GB | found |")
    print("|---|---|---:|---:|---:|---:|---|", flush=True)
    for name in given.metrics:
        full = POOLS[name]
        pool = Pool(
            round(full.images * given.fraction), max(1, round(full.classes * given.fraction)), full.ks
        )
        size = f"{name}, {pool.images} x {given.dim}, {pool.classes} classes"
        runs = [(retrieval, 0), *((kmeans, seed) for seed in range(given.seeds)), (agreement, 0)]
        for metric, seed in runs:
            took = alone(metric, pool, given.dim, seed, given.threads)
            products = "" if np.isnan(took.unit) else f"{took.cpu / took.unit:.1f}"
            print(
                f"| {size} | {metric.__name__} | {took.wall:.2f} | {took.cpu:.2f} | {products} | "
                f"{took.peak:.1f} | {took.found} |",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--threads", type=int, default=2)
    steps_of = parser.add_argument_group("attack steps (without --metrics)")
    steps_of.add_argument("--images", type=int, default=60_000)
    steps_of.add_argument("--classes", type=int, default=11_316)
    steps_of.add_argument("--objectives", nargs="+", default=OBJECTIVES)
    metrics_of = parser.add_argument_group("metrics")
    metrics_of.add_argument("--metrics", nargs="+", choices=POOLS, metavar="POOL", help=", ".join(POOLS))
    metrics_of.add_argument("--fraction", type=float, default=1.0, help="of the images and of the classes")
    metrics_of.add_argument("--seeds", type=int, default=1, help="how many k-means seeds; the protocol has 5")
    given = parser.parse_args()
    if given.metrics:
        metrics(given)
    else:
        steps(given)


if __name__ == "__main__":
    main()
