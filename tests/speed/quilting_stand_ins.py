"""Compares gradients that attacks could take through quilting, on classes that were never used.

    python run_benchmark.py --defenses "random_transforms[transform=quilting]" --attacks noise --output out
    python tests/speed/quilting_stand_ins.py --results out --dataset "glyphs[classes=272]" --classes 12

The test classes of 272 letters are neither training nor test classes of the default data set. The identity's
gradient, and those of soft choices among more or fewer patches at several temperatures, take turns as the
model's stand-in. Each attack is scored on the model itself, which makes new draws.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from attacks import ATTACKS, Problem
from benchmark.data import DATASETS, ImageSet
from benchmark.data.places import folders_for
from benchmark.evaluation import SCENARIOS, PoolEmbeddings
from benchmark.jobs import RunContext, trained_job
from benchmark.jobs.models import load_data
from benchmark.records.store import Store
from defenses.random_transforms import Transformed
from defenses.transforms import quilting
from defenses.transforms.base import with_identity_gradient

OBJECTIVES = {"r1": ("neighbour", "retrieval-query"), "ami": ("information", "clustering")}
"""For each metric the objective of the attack, and the scenario that it is scored in."""

REPEATS = 10
"""How often the model embeds the attacked pool, to average its scores."""


def stand_ins(soft_choices: list[str]) -> dict[str, Callable[[quilting.Quilted], None]]:
    """Returns what gives a model each stand-in, by its name.

    Args:
        soft_choices: numbers of patches and temperatures, as in "32:0.3".
    """

    def identity(applied: quilting.Quilted) -> None:
        applied.straight_through = partial(with_identity_gradient, applied)  # type: ignore[method-assign]

    def soft(count: int, temperature: float, applied: quilting.Quilted) -> None:
        quilting.SOFT, quilting.TEMPERATURE = count, temperature
        applied.straight_through = partial(applied._quilt, soft=True)  # type: ignore[method-assign]

    named: dict[str, Callable[[quilting.Quilted], None]] = {"identity": identity}
    for choice in soft_choices:
        count, temperature = choice.split(":")
        named[f"soft, {count} patches, temperature {temperature}"] = partial(
            soft, int(count), float(temperature)
        )
    return named


def score(model: Transformed, pool: ImageSet, attacked: Tensor, metric: str) -> float:
    """Returns a metric of the attacked pool, in percent."""
    images = pool.batch(slice(None))
    embeddings = PoolEmbeddings(model, images, attacked, pool.labels, pool.ids, REPEATS)
    return 100 * SCENARIOS.build(OBJECTIVES[metric][1]).score(embeddings).metrics[metric]


def main() -> None:
    """Prints a row for each stand-in."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--results", type=Path, required=True, help="output folder of run_benchmark.py")
    parser.add_argument("--defense", default="random_transforms[transform=quilting]")
    parser.add_argument("--dataset", required=True, help="data set whose test classes are attacked")
    parser.add_argument("--classes", type=int, required=True, help="number of these, the first")
    parser.add_argument(
        "--soft",
        nargs="*",
        default=["32:0.3", "8:0.3", "128:0.3", "32:0.1", "32:1"],
        help="PATCHES:TEMPERATURE",
    )
    parser.add_argument("--metrics", nargs="+", default=["r1"], choices=sorted(OBJECTIVES))
    parser.add_argument("--steps", type=int, default=10, help="of each attack")
    parser.add_argument("--eot", type=int, default=2, help="samples that each gradient is averaged over")
    options = parser.parse_args()
    torch.set_num_threads(1)
    store, folders = Store(options.results), folders_for()
    context = RunContext(
        output=options.results, cache=folders.cache, data=folders.data, device="cpu", commit=""
    )
    ref = next(ref for ref in store.manifest().models if ref.key.defense == options.defense)
    record = store.model(ref.id)
    assert record is not None
    model, _ = trained_job(record).load(context)
    assert isinstance(model, Transformed) and isinstance(model.applied, quilting.Quilted)
    pool = load_data(options.dataset, folders).test.of_classes(torch.arange(options.classes))
    images = pool.batch(slice(None))
    eps = DATASETS.build(ref.key.dataset).headline_eps["linf"]
    rule = " ---: |" * len(options.metrics)
    print("| stand-in | " + " | ".join(options.metrics) + " |\n| --- |" + rule)
    clean = [f"{score(model, pool, images, metric):.1f}" for metric in options.metrics]
    print("| not attacked | " + " | ".join(clean) + " |", flush=True)
    for name, give in stand_ins(options.soft).items():
        give(model.applied)
        values = []
        for metric in options.metrics:
            attack = f"pgd_decay[objective={OBJECTIVES[metric][0]},steps={options.steps}]"
            torch.manual_seed(0)
            problem = Problem(model, images, pool.labels, pool.ids, "linf", eps, eot=options.eot)
            found = ATTACKS.build(attack).run(problem).images
            values.append(f"{score(model, pool, found, metric):.1f}")
        print(f"| {name} | " + " | ".join(values) + " |", flush=True)


if __name__ == "__main__":
    main()
