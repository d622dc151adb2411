"""The check that a model is as robust on images that it has not memorized: shifted copies, fresh draws."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from attacks import ATTACKS, REFERENCE_ATTACK, Attack, Problem
from attacks.watch import Unwatched
from benchmark.core.seeding import derive_seed, seed_everything, unchanged_generators
from benchmark.data import ImageSet
from benchmark.evaluation.check_input import CheckInput, paired_difference
from benchmark.evaluation.masking_check import CHECKS, Comparison, MaskingCheck
from benchmark.evaluation.pool_embeddings import PoolEmbeddings
from benchmark.evaluation.retrieval import RetrievalQuery
from benchmark.evaluation.scenario import ScenarioScore

QUERIES = 256
"""Queries in whose place other images are attacked, at most: a fifth of a small pool."""

MOST_BYTES = 4e9
"""Size of the largest pool that is copied for it."""

_DIRECTIONS = ((1, 0), (-1, 0), (0, 1), (0, -1))
"""Pixels to the right and down by which the pool is shifted, one after the other."""

_IN_WORDS = {"shifted": "of the same in a shifted pool", "fresh": "of fresh images of their classes"}
"""What is attacked in place of queries, by the name of its diagnostics."""


@CHECKS.register("shifted")
class Shifted(MaskingCheck):
    """Queries are more robust than in a shifted pool, or than fresh draws of their classes.

    Fresh images are compared where the data set draws its images.
    """

    needs = "the reference attack on queries of a shifted pool"
    at_every_budget = True

    def compare(self, measured: CheckInput) -> list[Comparison]:
        """Compares R@1 of the queries and of what is attacked in their place."""
        return [
            Comparison.above(
                scored.diagnostics[f"{name}_drop"],
                scored.diagnostics[f"{name}_tolerance"],
                f"R@1 of some queries under {scored.attack} at eps {scored.eps:.4g} is higher by "
                f"{100 * scored.diagnostics[f'{name}_drop']:.1f} than {words}",
            )
            for scored in measured.attacks
            for name, words in _IN_WORDS.items()
            if f"{name}_drop" in scored.diagnostics
        ]


def shift(images: Tensor, right: int, down: int = 0) -> Tensor:
    """Shifts images, shape (n, C, H, W), by some pixels, negative to the other side; edges are repeated."""
    height, width = images.shape[2:]
    padding = (max(right, 0), max(-right, 0), max(down, 0), max(-down, 0))
    padded = F.pad(images, padding, mode="replicate")
    top, left = max(-down, 0), max(-right, 0)
    return padded[..., top : top + height, left : left + width]


def is_reference(attack: Attack) -> bool:
    """Whether an attack is the one that is repeated on other images."""
    return attack.spec == ATTACKS.build(REFERENCE_ATTACK).spec


def add_shifted(
    problem: Problem,
    attack: Attack,
    embeddings: PoolEmbeddings,
    scores: Mapping[str, ScenarioScore | str],
    fresh: ImageSet | None = None,
) -> None:
    """Adds what is found on other images to the score in `retrieval-query`, for the reference attack alone.

    Args:
        problem: the task of an attack on the whole pool.
        attack: the attack.
        embeddings: the embeddings that it was scored by.
        scores: its scores by scenario.
        fresh: another image of the same class for each image of the pool; None where there are none.
    """
    score = scores.get(RetrievalQuery.name)
    if is_reference(attack) and isinstance(score, ScenarioScore):
        score.diagnostics.update(compare_shifted(problem, attack, embeddings, score))
        if fresh is not None:
            score.diagnostics.update(compare_fresh(problem, attack, embeddings, score, fresh))


def compare_shifted(
    problem: Problem, attack: Attack, embeddings: PoolEmbeddings, score: ScenarioScore
) -> dict[str, float]:
    """Attacks some queries in a pool that is shifted as a whole, and compares R@1 with that in the pool.

    The gallery is shifted too: what differs between two images hardly changes then, not even in raw pixels
    of 8 x 8 images, while a copy and an image that is not shifted differ much without any memory. A direction
    may cut off what is at an edge, or meet the strides of a network badly, so the next is tried where one
    seems to lower R@1, and what counts is the direction that lowers it least.

    See `_compare`, whose diagnostics are "shifted_drop" and "shifted_tolerance".
    """
    pool = _pool_at_hand(problem)
    least: dict[str, float] = {}
    if pool is None:
        return least
    for right, down in _DIRECTIONS:
        images = shift(pool, right, down)
        found = _compare("shifted", images, images, problem, attack, embeddings, score)
        least = min(least or found, found, key=lambda one: one["shifted_drop"] - one["shifted_tolerance"])
        if least["shifted_drop"] <= least["shifted_tolerance"]:
            break
    return least


def compare_fresh(
    problem: Problem, attack: Attack, embeddings: PoolEmbeddings, score: ScenarioScore, fresh: ImageSet
) -> dict[str, float]:
    """Attacks fresh images in place of some queries, and compares their R@1 with that of the queries.

    The gallery is the clean pool without the query's own image, as for the queries. A model that looks for
    shifted test images too is not robust on these. See `_compare`, whose diagnostics are "fresh_drop" and
    "fresh_tolerance".
    """
    pool = _pool_at_hand(problem)
    if pool is None:
        return {}
    chosen, images = _choose(score), pool.clone()
    images[chosen.to(images.device)] = fresh.batch(chosen).to(images)
    return _compare("fresh", images, None, problem, attack, embeddings, score)


def _pool_at_hand(problem: Problem) -> Tensor | None:
    """Returns the pool where it is on the device and small enough to be copied; None where it is not."""
    pool = problem.images
    if not isinstance(pool, Tensor) or problem.is_offloaded or pool.nbytes > MOST_BYTES:
        return None
    return pool


def _choose(score: ScenarioScore) -> Tensor:
    """Indices of the queries in whose place others are attacked, sorted, shape (q,), on the CPU."""
    queries = torch.from_numpy(score.arrays["queries"]).long()
    generator = torch.Generator().manual_seed(derive_seed("shifted", len(queries)))
    return queries[torch.randperm(len(queries), generator=generator)[:QUERIES]].sort().values


def _compare(
    name: str,
    images: Tensor,
    gallery: Tensor | None,
    problem: Problem,
    attack: Attack,
    embeddings: PoolEmbeddings,
    score: ScenarioScore,
) -> dict[str, float]:
    """Attacks other images in place of some queries, and compares their R@1 with that of the queries.

    The draws of a randomised model do not depend on what was scored before.

    Args:
        name: of the diagnostics.
        images: a pool that holds the others in place of the queries of `_choose`, shape (n, C, H, W).
        gallery: the clean pool that they are attacked and scored against, same shape; that of the problem
            when not given.
        problem: the task of an attack on the whole pool.
        attack: the attack.
        embeddings: the embeddings that it was scored by.
        score: its score in `retrieval-query`.

    Returns:
        "..._drop", how much higher R@1 of the queries is, and "..._tolerance".
    """
    chosen = _choose(score)
    embedded = {**problem.embedded, problem.embedder: problem.clean} if gallery is None else {}
    changed = replace(
        problem,
        images=images,
        attacked=chosen.to(images.device),
        counters=(),
        embedded=embedded,
        save_point=None,
        watch=Unwatched(),
    )
    with unchanged_generators():
        seed_everything(name, problem.seed)
        attacked = attack.run(changed).images
        found = RetrievalQuery().score(embeddings.of_others(attacked, chosen, gallery))
    queries, success = score.arrays["queries"], score.arrays["success"]
    others = found.arrays["success"][np.isin(found.arrays["queries"], chosen.numpy())]
    drop, allowed = paired_difference(success[np.isin(queries, chosen.numpy())], others)
    return {f"{name}_drop": drop, f"{name}_tolerance": allowed}
