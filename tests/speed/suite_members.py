"""Shows what each member of a cascade adds, on trained models and on classes that were never used.

    python run_benchmark.py --defenses vanilla trades pgd_at eat --attacks noise --no-checks --output trained
    python tests/speed/suite_members.py --results trained --dataset "glyphs[classes=272]" --classes 68

The test classes of 272 letters are neither the training classes nor the test classes of the default data
set, so attacks can be chosen on them. The members run in the order of a cascade: those on the whole pool,
then those on the queries that still stand, each after all before it. With `--alone` each attacks the whole
pool, and is compared with clean images. Costs are counted for each image.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from attacks import ATTACKS, Attack, Problem, expand
from benchmark.core.embedder import Embedder
from benchmark.data import DATASETS, ImageSet
from benchmark.data.places import folders_for
from benchmark.evaluation import SCENARIOS, PoolEmbeddings
from benchmark.jobs import RunContext, trained_job
from benchmark.jobs.models import load_data
from benchmark.models import PassCounter
from benchmark.planning.cascade import Cascade
from benchmark.records.store import Store


@dataclass
class Bench:
    """A model with its pool, which attacks are run on.

    Attributes:
        model: the model.
        unit: operations of one cost unit.
        sources: models that transferred attacks start from.
        pool: the images.
        eps: radius of the L_inf ball.
    """

    model: Embedder
    unit: int
    sources: dict[str, Embedder]
    pool: ImageSet
    eps: float

    def attack(self, attack: Attack, attacked: Tensor | None) -> tuple[Tensor, float]:
        """Returns the attacked pool, and the cost for each image of the pool."""
        images = self.pool.batch(slice(None))
        problem = Problem(
            self.model,
            images,
            self.pool.labels,
            self.pool.ids,
            "linf",
            self.eps,
            sources=self.sources,
            attacked=attacked,
        )
        _ = problem.clean  # known before an attack, so no cost of it
        with ExitStack() as stack:
            counters = [
                stack.enter_context(PassCounter(model, self.pool.image_shape, self.unit))
                for model in (self.model, *self.sources.values())
            ]
            found = attack.run(problem).images
        return found, sum(counter.total for counter in counters) / len(self.pool)

    def score(self, attacked: Tensor) -> tuple[float, np.ndarray]:
        """Returns AMI, and the success of each query."""
        images = self.pool.batch(slice(None))
        embeddings = PoolEmbeddings(self.model, images, attacked, self.pool.labels, self.pool.ids, 1)
        ami = SCENARIOS.build("clustering").score(embeddings).metrics["ami"]
        return ami, SCENARIOS.build("retrieval-query").score(embeddings).arrays["success"]


def rows(bench: Bench, attacks: list[str], alone: bool) -> Iterator[tuple[str, ...]]:
    """Yields each attack, its cost and AMI, the R@1 that is left, and by how much it lowers that."""
    specs = [spec for spec in expand(attacks) if not ATTACKS.build(spec).made_for()]
    cascade = Cascade.of(attacks, []) or Cascade(specs[0], frozenset(specs))
    ami, clean = bench.score(bench.pool.batch(slice(None)))
    before = clean
    yield "clean", "", f"{100 * ami:.1f}", f"{100 * clean.mean():.1f}", ""
    order = sorted(
        specs, key=lambda spec: (not cascade.is_whole(spec), ATTACKS.build(spec).access != "white")
    )
    total = 0.0
    for spec in order:
        attack = ATTACKS.build(spec)
        if attack.needs is not None and attack.needs not in bench.sources:
            continue
        whole = alone or cascade.is_whole(spec)
        before = clean if alone else before
        standing = None if whole else torch.from_numpy(np.flatnonzero(before > 0))
        images, cost = bench.attack(attack, standing)
        found, success = bench.score(images)
        after = np.minimum(before, success)
        total += cost
        yield (
            spec,
            f"{cost:.0f}",
            f"{100 * found:.1f}" if whole else "",
            f"{100 * after.mean():.2f}",
            f"{100 * (before - after).mean():.2f}",
        )
        before = after
    if not alone:
        yield "all", f"{total:.0f}", "", f"{100 * before.mean():.2f}", ""


def main() -> None:
    """Prints a table for each model."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--results", type=Path, required=True, help="output folder of run_benchmark.py")
    parser.add_argument("--defenses", nargs="+", default=["trades", "pgd_at", "eat"])
    parser.add_argument("--dataset", help="data set whose test classes are attacked; default: the run's")
    parser.add_argument("--classes", type=int, help="number of these, the first; default: all")
    parser.add_argument("--attacks", nargs="+", default=["cascade"], help="suites and attacks")
    parser.add_argument("--alone", action="store_true", help="every attack on the whole pool, by itself")
    parser.add_argument("--seed", type=int, default=0, help="training seed of the models")
    options = parser.parse_args()
    torch.set_num_threads(1)
    store, folders = Store(options.results), folders_for()
    context = RunContext(
        output=options.results, cache=folders.cache, data=folders.data, device="cpu", commit=""
    )
    models = store.manifest().models
    refs = {ref.key.defense: ref for ref in models if ref.key.seed == options.seed}

    def load(name: str) -> tuple[Embedder, int]:
        record = store.model(refs[name].id)
        assert record is not None
        return trained_job(record).load(context)

    sources = {
        name: load(name)[0]
        for name in dict.fromkeys(ATTACKS.build(spec).needs for spec in expand(options.attacks))
        if name in refs
    }
    for name in options.defenses:
        key = refs[name].key
        pool = load_data(options.dataset or key.dataset, folders).test
        if options.classes:
            pool = pool.of_classes(torch.arange(options.classes))
        others = {other: model for other, model in sources.items() if other != name}
        bench = Bench(*load(name), others, pool, DATASETS.build(key.dataset).headline_eps["linf"])
        print(f"\n| {name} | cost | AMI | worst R@1 | lower by |\n| --- | ---: | ---: | ---: | ---: |")
        for row in rows(bench, options.attacks, options.alone):
            print("| " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()
