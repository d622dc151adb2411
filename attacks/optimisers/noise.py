"""No attack at all: what a random perturbation of the same size does."""

from __future__ import annotations

from typing import ClassVar

from attacks.base import ATTACKS, Access, Attack, AttackResult
from attacks.geometry import random_start
from attacks.problem import Problem


@ATTACKS.register("noise")
class Noise(Attack):
    """A point drawn uniformly in the ball; the control that every attack must beat."""

    access: ClassVar[Access] = "none"

    def passes_per_image(self) -> float:
        """None: it looks at no model."""
        return 0.0

    def perturb(self, problem: Problem) -> AttackResult:
        """Draws one point for each image."""
        images = problem.empty_pool()
        for index in problem.batches(problem.perturbed):
            clean, ids = problem.get_batch(index), problem.ids[index.cpu()]
            drawn = random_start(clean, ids, problem.norm, problem.eps, problem.seed, "noise")
            problem.write_batch(images, index, drawn)
        return AttackResult(images)
