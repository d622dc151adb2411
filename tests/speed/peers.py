"""Compares our suite with attacks built from other libraries, on the same trained models.

    python run_benchmark.py --defenses all --output results
    python tests/speed/peers.py --results results --output peers.md

Every gradient-based peer gets as many steps as the longest attack of our suite, every query-based one as many
queries as our `square`. The worst case of both sides follows the protocol: for R@1 the minimum of each query
over the attacks and the clean images, for AMI the minimum over attacks. Cost is counted; while the peers
together cost less than our suite, those with random starts run again.

The exit status is 0 if our worst case is lower than or equal to the peers' in every metric, 1 if it is not,
2 if there was nothing to compare.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import foolbox
import numpy as np
import torch
import torchattacks
from peer_attacks import NORMS, Budget, Run, list_peers, of_our_code
from peer_tables import Side, Tried, write_tables
from torch import Tensor

from attacks import ATTACKS, Problem, expand
from attacks.geometry import project
from benchmark.core.embedder import Embedder
from benchmark.core.errors import BenchmarkError, CheckpointError
from benchmark.data import DATASETS
from benchmark.data.base import ImageSet
from benchmark.data.places import folders_for
from benchmark.evaluation import SCENARIOS, PoolEmbeddings
from benchmark.jobs import RunContext, trained_job
from benchmark.jobs.models import load_data
from benchmark.models import PassCounter
from benchmark.plugins.load import load_plugins
from benchmark.records import ModelKey
from benchmark.records.store import Store

PROJECTION_TOLERANCE = 1e-5
"""Distance by which a library may leave its ball; it is projected back, and more is an error."""


@dataclass
class Bench:
    """One model with its pool; runs attacks on it and scores them.

    Attributes:
        problem: the attack's task.
        pool: the test images.
        unit: operations of one cost unit.
        repeats: repeats of each score, for a randomized model.
    """

    problem: Problem
    pool: ImageSet
    unit: int
    repeats: int

    def score(self, attacked: Tensor, cost: float = 0.0) -> Tried:
        """Scores an attacked pool as the benchmark does; `cost` is that of its attack, per image."""
        problem = self.problem
        embeddings = PoolEmbeddings(
            problem.embedder,
            problem.images,
            attacked,
            self.pool.labels,
            self.pool.ids,
            self.repeats,
            seed=problem.seed,
        )
        retrieval = SCENARIOS.build("retrieval-query").score(embeddings)
        ami = SCENARIOS.build("clustering").score(embeddings).metrics["ami"]
        return Tried(retrieval.metrics["r1"], ami, retrieval.arrays["success"].astype(np.float64), cost)

    def attempt(self, run: Run, round_number: int = 0) -> Tried:
        """Runs an attack, projects its result onto the ball, counts its cost and scores it.

        Raises:
            BenchmarkError: when it left the ball by more than rounding.
        """
        problem = self.problem
        with ExitStack() as stack:  # the cost of a transferred attack includes its source's
            counters = [
                stack.enter_context(PassCounter(model, self.pool.image_shape, self.unit))
                for model in (problem.embedder, *problem.sources.values())
            ]
            versions = run(problem, round_number)
        cost = sum(counter.total for counter in counters) / len(problem)
        scored = []
        for images in versions:
            projected = project(images.detach(), problem.images, problem.norm, problem.eps)
            if not float((projected - images).abs().max()) <= PROJECTION_TOLERANCE:  # `not`: NaN fails too
                raise BenchmarkError("An attack left its ball.")
            scored.append(self.score(projected, cost))
        success = np.min([one.success for one in scored], axis=0)
        return Tried(float(success.mean()), min(one.ami for one in scored), success, cost)


def compare(
    bench: Bench, suite: Sequence[str], beside: Sequence[str], budget: Budget
) -> tuple[Side, Side, Side]:
    """Attacks a model; returns our side, the peers', and that of attacks which are shown but not counted."""
    clean = bench.score(bench.problem.images)
    ours, peers, shown = Side(clean), Side(clean), Side(clean)

    def attempt(side: Side, name: str, run: Run, round_number: int = 0) -> None:
        side.tried[name] = bench.attempt(run, round_number)
        one = side.tried[name]
        sys.stderr.write(f"  {name:<60} R@1 {100 * one.r1:5.1f}  AMI {100 * one.ami:5.1f}  {one.cost:7.0f}\n")

    for side, specs in ((ours, suite), (shown, beside)):
        for spec in specs:
            attempt(side, spec, of_our_code(spec))
    round_number = 0
    while not round_number or peers.cost < ours.cost:
        for name, run in list_peers(budget, random_only=round_number > 0).items():
            label = f"{name}, round {round_number + 1}" if round_number else name
            attempt(peers, label, run, round_number)
        round_number += 1
    return ours, peers, shown


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--results", type=Path, required=True, help="output folder of run_benchmark.py")
    parser.add_argument(
        "--output", type=Path, help="file for the tables (Markdown); the terminal if not given"
    )
    parser.add_argument(
        "--defenses", nargs="+", help="rows, by canonical spec; default: all that have a checkpoint"
    )
    parser.add_argument("--seed", type=int, default=0, help="training seed of the models")
    parser.add_argument("--suite", nargs="+", default=["standard"], help="our attacks or suites")
    parser.add_argument("--beside", nargs="*", default=[], help="our attacks that are shown but not counted")
    parser.add_argument("--norm", default="linf", choices=NORMS)
    parser.add_argument("--eps", type=float, help="default: the data set's headline")
    parser.add_argument("--steps", type=int, help="of each peer; default: as many as our longest attack")
    parser.add_argument("--queries", type=int, help="of black-box peers; default: as many as ours")
    parser.add_argument("--classes", type=int, help="use only the first classes of the pool")
    parser.add_argument("--plugin", type=Path, nargs="*", default=[], help="files with your defenses")
    return parser.parse_args()


def trained(options: argparse.Namespace, needed: set[str]) -> Iterator[tuple[str, Bench]]:
    """Yields each selected trained model of the run, with the name of its row.

    Args:
        options: the command line.
        needed: the defenses whose models are sources of transferred attacks.

    Raises:
        CheckpointError: when a source has no checkpoint.
    """
    store = Store(options.results)
    manifest = store.manifest()
    evaluation = manifest.config["evaluation"]
    folders = folders_for()
    context = RunContext(
        output=options.results, cache=folders.cache, data=folders.data, device="cpu", commit=""
    )
    refs = {ref.key: ref for ref in manifest.models}
    several = len({(key.dataset, key.backbone, key.loss) for key in refs}) > 1

    def load(key: ModelKey) -> tuple[Embedder, int]:
        if key not in refs:
            raise CheckpointError(f"The run has no '{key.defense}', which a transferred attack needs.")
        record = store.model(refs[key].id)
        if record is None:
            raise CheckpointError(f"The run has not trained '{key.defense}'.")
        return trained_job(record).load(context)

    for key in refs:
        if key.seed != options.seed or key.defense in manifest.references:
            continue
        if options.defenses and key.defense not in options.defenses:
            continue
        if not store.has_checkpoint(refs[key].id):
            sys.stderr.write(f"{key.defense} is skipped: it has no checkpoint.\n")
            continue
        model, unit = load(key)
        sources = {name: load(key.model_copy(update={"defense": name}))[0] for name in sorted(needed)}
        pool = load_data(key.dataset, context.folders).test
        if options.classes:
            pool = pool.of_classes(torch.arange(options.classes))
        eps = options.eps or DATASETS.build(key.dataset).headline_eps[options.norm]
        problem = Problem(
            model,
            pool.batch(slice(None)),
            pool.labels,
            pool.ids,
            options.norm,
            eps,
            key.seed,
            evaluation["eot"],
            sources=sources,
        )
        _ = problem.centroids  # both sides use the clean embeddings, which are not part of the cost
        name = key.defense + (f", {key.dataset}, {key.backbone}, {key.loss}" if several else "")
        yield name, Bench(problem, pool, unit, evaluation["repeats"])


def main() -> int:
    """Compares both sides on each model and writes the tables."""
    options = parse()
    torch.set_num_threads(1)
    load_plugins(tuple(options.plugin))
    suite = [spec for spec in expand(options.suite) if ATTACKS.build(spec).knows(options.norm)]
    beside = [spec for spec in expand(options.beside) if ATTACKS.build(spec).knows(options.norm)]
    built = [ATTACKS.build(spec) for spec in (*suite, *beside)]
    needed = {attack.needs for attack in built if attack.needs is not None}
    steps = options.steps or max(getattr(attack, "steps", 1) for attack in built)
    queries = options.queries or max(getattr(attack, "queries", 500) for attack in built)
    results: dict[str, tuple[Side, Side, Side]] = {}
    balls: dict[str, None] = {}
    won = False
    for name, bench in trained(options, needed):
        problem = bench.problem
        sys.stderr.write(f"{name}, {problem.norm} {problem.eps:.4g}, {len(problem)} images\n")
        budget = Budget(problem.norm, problem.eps, steps, queries)
        results[name] = compare(bench, suite, beside, budget)
        balls[f"{problem.norm} {problem.eps:.4g}"] = None
        about = (
            f"Budget {', '.join(balls)}, training seed {options.seed}. Peers: {steps} steps or "
            f"{queries} queries, torchattacks {torchattacks.__version__}, "
            f"foolbox {foolbox.__version__}."
        )
        text, won = write_tables(results, about)
        if options.output:  # after each model, because all of them take long
            options.output.write_text(text, encoding="utf-8")
    if not results:
        sys.stderr.write("No trained model to attack.\n")
        return 2
    if not options.output:
        sys.stdout.write(text)
    return 0 if won else 1


if __name__ == "__main__":
    try:
        status = main()
    except BenchmarkError as error:
        sys.stderr.write(f"{error}\n")
        status = 2
    sys.exit(status)
