"""The check that a model is as robust on images that it cannot have memorized: copies shifted by a pixel."""

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
from benchmark.evaluation.check_input import CheckInput, paired_difference
from benchmark.evaluation.masking_check import CHECKS, Comparison, MaskingCheck
from benchmark.evaluation.pool_embeddings import PoolEmbeddings
from benchmark.evaluation.retrieval import RetrievalQuery
from benchmark.evaluation.scenario import ScenarioScore

QUERIES = 256
"""Queries whose shifted copies are attacked, at most: a fifth of a small pool."""

MOST_BYTES = 4e9
"""Size of the largest pool that is copied for it."""


@CHECKS.register("shifted")
class Shifted(MaskingCheck):
    """Copies of queries, shifted by one pixel, are less robust than the queries under the same attack."""

    needs = "the reference attack on shifted copies of queries"
    at_every_budget = True

    def compare(self, measured: CheckInput) -> list[Comparison]:
        """Compares R@1 of the queries and of their copies."""
        return [
            Comparison.above(
                scored.diagnostics["shifted_drop"],
                scored.diagnostics["shifted_tolerance"],
                f"R@1 of some queries under {scored.attack} at eps {scored.eps:.4g} is higher by "
                f"{100 * scored.diagnostics['shifted_drop']:.1f} than of their shifted copies",
            )
            for scored in measured.attacks
            if "shifted_drop" in scored.diagnostics
        ]


def shift(images: Tensor) -> Tensor:
    """Shifts images, shape (n, C, H, W), to the right by one pixel; the first column is repeated."""
    return F.pad(images, (1, 0, 0, 0), mode="replicate")[..., :-1]


def is_reference(attack: Attack) -> bool:
    """Whether an attack is the one that is repeated on shifted copies."""
    return attack.spec == ATTACKS.build(REFERENCE_ATTACK).spec


def add_shifted(
    problem: Problem,
    attack: Attack,
    embeddings: PoolEmbeddings,
    scores: Mapping[str, ScenarioScore | str],
) -> None:
    """Adds what `compare_shifted` finds to the score in `retrieval-query`, for the reference attack alone."""
    score = scores.get(RetrievalQuery.name)
    if is_reference(attack) and isinstance(score, ScenarioScore):
        score.diagnostics.update(compare_shifted(problem, attack, embeddings, score))


def compare_shifted(
    problem: Problem, attack: Attack, embeddings: PoolEmbeddings, score: ScenarioScore
) -> dict[str, float]:
    """Attacks shifted copies of some queries, and compares their R@1 with that of the queries.

    The gallery is the clean pool without the query's own image, as for the queries. The draws of a randomised
    model do not depend on what was scored before.

    Args:
        problem: the task of an attack on the whole pool.
        attack: the attack.
        embeddings: the embeddings that it was scored by.
        score: its score in `retrieval-query`.

    Returns:
        "shifted_drop", how much higher R@1 of the queries is, and "shifted_tolerance"; empty where the pool
        is not on the device, or too large to be copied.
    """
    pool = problem.images
    if not isinstance(pool, Tensor) or problem.is_offloaded or pool.nbytes > MOST_BYTES:
        return {}
    queries, success = torch.from_numpy(score.arrays["queries"]).long(), score.arrays["success"]
    generator = torch.Generator().manual_seed(derive_seed("shifted", len(queries)))
    chosen = queries[torch.randperm(len(queries), generator=generator)[:QUERIES]].sort().values
    images, index = pool.clone(), chosen.to(pool.device)
    images[index] = shift(pool[index])
    shifted = replace(
        problem,
        images=images,
        attacked=index,
        counters=(),
        embedded={**problem.embedded, problem.embedder: problem.clean},
        save_point=None,
        watch=Unwatched(),
    )
    with unchanged_generators():
        seed_everything("shifted", problem.seed)
        attacked = attack.run(shifted).images
        found = RetrievalQuery().score(embeddings.of_others(attacked, chosen))
    copies = found.arrays["success"][np.isin(found.arrays["queries"], chosen.numpy())]
    drop, allowed = paired_difference(success[np.isin(score.arrays["queries"], chosen.numpy())], copies)
    return {"shifted_drop": drop, "shifted_tolerance": allowed}
