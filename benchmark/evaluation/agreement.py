"""Whether the outcomes of queries that are scored are those that the attack's objective told."""

from __future__ import annotations

from torch import Tensor

from attacks import Objective
from benchmark.evaluation.pool_embeddings import PoolEmbeddings

UNDECIDED = 1e-4
"""Margins nearer to 0 are left out: rounding may decide them otherwise."""

FEWEST_REPEATS = 10
"""Repeats of a randomised model from which an outcome that is the same in all of them counts as certain."""


def disagreement(embeddings: PoolEmbeddings, queries: Tensor, success: Tensor) -> dict[str, float]:
    """Compares the margin of each query that an attack returned with the outcome that was scored.

    A margin of Recall@1 above 0 means that the query is defeated. Of a randomised model the margin is a mean
    over EOT samples, and only the queries count whose outcome is the same in every repeat.

    Args:
        embeddings: the pool, with the attack and its objective.
        queries: indices in the pool of the queries that were scored, shape (k,).
        success: the fraction of repeats in which each of them is right at 1, shape (k,).

    Returns:
        "disagreement", the fraction of the compared queries for which they differ, and "compared_queries",
        their number. Empty where the objective is no margin of Recall@1, where none can be compared, and for
        a randomised model with fewer than `FEWEST_REPEATS` repeats.
    """
    values = embeddings.objective_of_each
    if values is None or not _is_margin(embeddings):
        return {}
    margin = values[queries]
    if embeddings.randomised and embeddings.repeats < FEWEST_REPEATS:
        return {}
    compared = (margin.abs() > UNDECIDED) & ((success == 0) | (success == 1))
    count = int(compared.sum())
    if not count:
        return {}
    differ = (margin > 0) != (success == 0)
    return {"disagreement": float(differ[compared].double().mean()), "compared_queries": float(count)}


def _is_margin(embeddings: PoolEmbeddings) -> bool:
    parts = [] if embeddings.attack is None else embeddings.attack.parts()
    # The first is the attack's own; others are of an attack that it starts from.
    objective = next((part for part in parts if isinstance(part, Objective)), None)
    return objective is not None and objective.is_margin
