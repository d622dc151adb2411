"""Estimates of the cost of an attack and of its scoring, made before they start."""

from __future__ import annotations

from attacks import Attack, images_per_pass
from benchmark.data import ImageSet
from benchmark.evaluation.slopes import slope_cost
from benchmark.jobs.clustering_cost import attack_comparisons, scored_comparisons
from benchmark.jobs.probe import Costs

_EMBEDDED = 2
"""How often scoring embeds the attacked pool: once, and once more for the checks."""


def attack_cost(
    attack: Attack | None,
    target: Costs,
    source: Costs | None,
    eot: int,
    attacked_fraction: float,
    rounded: bool = False,
) -> float:
    """Computes the cost units of an attack for each image of the pool.

    Args:
        attack: the attack; None for the clean pool.
        target: costs of the model that is attacked.
        source: costs of the model that a transferred attack starts from.
        eot: EOT samples of each gradient of a randomised model.
        attacked_fraction: of the pool.
        rounded: whether the search is in a lower precision, so that its result is scored again.
    """
    units = 0.0 if attack is None else attack.cost_per_image()
    if not units:
        return 0.0

    def on(costs: Costs, units: float) -> float:
        """Cost units per image on one model; the clean pool's embeddings are kept from its own job."""
        rescored = 1.0 if costs.randomised and units > 1 else 0.0  # the best noisy score is repeated
        rescored += 1.0 if rounded and units > 1 else 0.0
        samples = eot if costs.randomised else 1
        return costs.embed * samples * (units + rescored) * attacked_fraction

    if source is None:
        return on(target, units)
    return on(source, units - 1.0) + on(target, 1.0)  # all but the scoring of the result is the source's


def scoring_cost(
    attack: Attack | None, costs: Costs, eot: int, repeats: int, pool: ImageSet, isolated: int = 0
) -> float:
    """Computes the cost units of scoring in every scenario; an upper bound for clustering alone.

    Args:
        attack: the attack; None for the clean pool.
        costs: costs of the model that is attacked.
        eot: EOT samples of each gradient of a randomised model.
        repeats: how often a randomised model embeds the pool.
        pool: the images.
        isolated: images that a process of its own embeds too.
    """
    embedded = repeats if costs.randomised else 1
    whole = embedded * len(pool)
    # The pool for scores and for attacks or for a check, two forward passes over one batch, and slopes.
    if attack is None:
        searched = eot * len(pool) if costs.randomised else len(pool)
        twice = 2 * min(len(pool), images_per_pass(pool.image_shape))
        return costs.embed * (whole + searched + twice + slope_cost(len(pool), costs.randomised))
    return costs.embed * (_EMBEDDED * whole + embedded * isolated)


def attack_weight(attack: Attack, eot: int, repeats: int, repeated: float = 0.0) -> float:
    """Computes the fraction of an attack and its scoring that is the attack itself, by passes, in [0, 1].

    Args:
        attack: the attack.
        eot: EOT samples of each gradient.
        repeats: how often the pool is embedded for a score.
        repeated: fraction of the pool that is attacked once more for a check.
    """
    attacking = eot * attack.cost_per_image()
    return attacking / ((1 + repeated) * attacking + _EMBEDDED * repeats)


def similarity_cost(
    attack: Attack | None,
    costs: Costs,
    source: Costs | None,
    attacked_fraction: float,
    pool: ImageSet,
    copies: int = 0,
) -> float:
    """Computes the cost units of comparing embeddings: with each other in an attack, and in its scoring.

    Each forward or backward pass of an attack is followed by one through the similarities to the gallery; an
    objective that compares with less is overestimated. k-means comes on top: the fits and the rated pools of
    `information`, and one fit with each seed for a score. Scoring ranks the pool once before and once after
    the attack.

    Args:
        attack: the attack; None for the clean pool.
        costs: costs of the model that is attacked.
        source: costs of the model that a transferred attack starts from.
        attacked_fraction: of the pool.
        pool: the images.
        copies: images that are attacked beside the pool, for a check.
    """
    classes, searched = max(1, pool.num_classes), 0.0
    if attack is not None:
        searched = attack.cost_per_image() * (attacked_fraction * len(pool) + copies)
        searched += attack_comparisons(attack, classes)
    scored = 2.0 * len(pool) + scored_comparisons(classes)
    # Each comparison of every image of the pool with one centroid costs as much as one of an image with all.
    return (source or costs).similarity * searched + costs.similarity * scored
