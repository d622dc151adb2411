"""The control without optimization: a random perturbation of the same size."""

from __future__ import annotations

from typing import ClassVar

from attacks.base import ATTACKS, Access, Attack, AttackResult
from attacks.geometry import NORMS
from attacks.problem import Problem
from attacks.result_builder import ResultBuilder


@ATTACKS.register("noise")
class Noise(Attack):
    """A point drawn uniformly in the ball; the control that every attack must beat."""

    access: ClassVar[Access] = "none"
    norms: ClassVar[tuple[str, ...]] = NORMS

    def cost_per_image(self) -> float:
        """Zero: the model is not used."""
        return 0.0

    def perturb(self, problem: Problem) -> AttackResult:
        """Draws one point per image."""
        builder = ResultBuilder(problem)
        for batch, index in builder.unfinished():
            ids = problem.ids_of(index)
            builder.write(batch, problem.ball(index).random_start(ids, problem.seed, "noise"))
        return builder.result()
