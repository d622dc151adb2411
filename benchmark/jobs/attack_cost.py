"""What an attack and its scoring cost, before they start."""

from __future__ import annotations

from attacks import Attack, images_per_pass
from benchmark.data import ImageSet
from benchmark.jobs.probe import Costs


def attack_cost(
    attack: Attack | None, target: Costs, source: Costs | None, eot: int, attacked_fraction: float
) -> float:
    """Cost units of an attack for each image of the pool.

    Args:
        attack: the attack; None for the clean pool.
        target: costs of the model that is attacked.
        source: costs of the model that a transferred attack starts from.
        eot: EOT samples of each gradient of a randomised model.
        attacked_fraction: of the pool.
    """
    units = 0.0 if attack is None else attack.cost_per_image()
    if not units:
        return 0.0

    def on(costs: Costs, units: float) -> float:
        """Cost units of an image: those of the attack on one model, and one over its clean pool."""
        anew = 1.0 if costs.randomised and units > 1 else 0.0  # the best of noisy scores is scored once more
        samples = eot if costs.randomised else 1
        return costs.embed * samples * ((units + anew) * attacked_fraction + 1.0)

    if source is None:
        return on(target, units)
    return on(source, units - 1.0) + on(target, 1.0)  # all but the scoring of the result is the source's


def scoring_cost(attack: Attack | None, costs: Costs, repeats: int, pool: ImageSet) -> float:
    """Cost units of scoring in every scenario; in clustering alone a randomised model takes fewer."""
    whole = (repeats if costs.randomised else 1) * len(pool)
    if attack is None:  # one pool, and two forward passes over its first batch
        return costs.embed * (whole + 2 * min(len(pool), 2 * images_per_pass(pool.image_shape)))
    return costs.embed * 3 * whole  # the clean pool, the attacked one, and that once more for the checks
