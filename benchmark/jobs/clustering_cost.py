"""How many embeddings k-means compares, in scores and in attacks on its clusters."""

from __future__ import annotations

from itertools import pairwise

from attacks import Attack
from attacks.objectives.base import OBJECTIVES
from attacks.objectives.information import Information
from attacks.optimisers.best_pool import EVERY, LAST
from attacks.optimisers.pgd import GradientAttack
from benchmark.metrics import KMEANS_ITERATIONS, KMEANS_SEEDS
from benchmark.metrics.kmeans_init import default_trials

_OF_A_STEP = 3
"""Products with all centroids in a step of `information`: an image, the image in the pool, the gradient."""

_OF_A_TABLE = 1
"""Those of the table of classes and clusters after a fit of `information`."""

_OF_DRAGGING = 2
"""Those of `drag` after it: the image in the pool, and the forces."""


def scored_comparisons(clusters: int) -> int:
    """Comparisons of each embedding of a pool when it is clustered with each seed, as for a score, at most.

    Args:
        clusters: number of clusters.
    """
    return len(KMEANS_SEEDS) * clusters * (default_trials(clusters) + KMEANS_ITERATIONS)


def attack_comparisons(attack: Attack, clusters: int) -> float:
    """Comparisons of each embedding of a pool with centroids in an attack; 0 where it fits no k-means.

    An objective of a plugin that fits k-means is not counted.

    Args:
        attack: the attack, with those that it starts from.
        clusters: number of clusters.
    """
    parts = [part for part in attack.parts() if isinstance(part, GradientAttack)]
    costs = [*(part.cost_per_image() for part in parts), 0.0]
    # Each part but the last starts from the next one, whose cost its own includes.
    own = [cost - after for cost, after in pairwise(costs)]
    return sum(_comparisons(part, cost, clusters) for part, cost in zip(parts, own, strict=True))


def _comparisons(attack: GradientAttack, cost: float, clusters: int) -> float:
    """Comparisons in an attack, whose steps take so many cost units an image, without that before it."""
    objective = OBJECTIVES.build(attack.objective)
    if not isinstance(objective, Information):
        return 0.0
    white, starts = attack.access == "white", getattr(attack, "restarts", 1)
    steps = cost / (2 * starts if white else starts)  # a forward and a backward pass each, or a query
    again = 1 / objective.redraw
    drawn = default_trials(clusters) + KMEANS_ITERATIONS
    after = _OF_A_TABLE + (_OF_DRAGGING if objective.drag else 0)
    of_a_fit = again * drawn + (1 - again) * objective.refits + after
    first = drawn + after
    compared = objective.clusterings * clusters * (first + steps * (_OF_A_STEP + of_a_fit))
    if white:
        compared += (min(steps, LAST) // EVERY + 1) * scored_comparisons(clusters)
    return starts * compared
