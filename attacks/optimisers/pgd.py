"""One step, many steps, and many that shrink."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar

from pydantic import Field, PositiveInt

from attacks.base import ATTACKS, Attack, Outcome
from attacks.objectives.base import OBJECTIVES, ObjectiveSpec
from attacks.optimisers.ascent import Ascent
from attacks.problem import Problem
from benchmark.core.parameters import Number, Parameters


class GradientAttack(Attack):
    """An attack that climbs an objective.

    Attributes:
        objective: spec of what is maximised.
    """

    always_written: ClassVar[tuple[str, ...]] = ("objective",)

    objective: ObjectiveSpec = "centroid_ce"

    def parts(self) -> list[Parameters]:
        """The attack and its objective."""
        return [self, OBJECTIVES.build(self.objective)]


@ATTACKS.register("fgsm")
class FGSM(GradientAttack):
    """One step of size eps (Goodfellow et al. 2015, arXiv 1412.6572), from the clean image.

    From a random start where the objective's gradient is zero at the clean image.
    """

    def passes_per_image(self) -> float:
        """A gradient and a look at the result."""
        return 3.0

    def perturb(self, problem: Problem) -> Outcome:
        """Takes the step."""
        return Ascent(problem, self.objective, [1.0], 1, "clean").run()


@ATTACKS.register("pgd")
class PGD(GradientAttack):
    """Projected gradient ascent with steps of one size (Madry et al. 2018, arXiv 1706.06083), random start.

    Attributes:
        steps: number of steps.
        step: size of a step in units of eps; 2.5 / steps when not given.
        restarts: independent random starts; the best result of each image is kept.
    """

    steps: PositiveInt = 20
    step: Annotated[Number, Field(gt=0)] | None = None
    restarts: PositiveInt = 1

    def step_sizes(self) -> list[float]:
        """Size of each step in units of eps."""
        return [2.5 / self.steps if self.step is None else self.step] * self.steps

    def passes_per_image(self) -> float:
        """A gradient for each step, and a look at the result."""
        return (2.0 * self.steps + 1.0) * self.restarts

    def perturb(self, problem: Problem) -> Outcome:
        """Climbs from random starts."""
        return Ascent(problem, self.objective, self.step_sizes(), self.restarts, "random").run()


@ATTACKS.register("pgd_decay")
class PGDDecay(PGD):
    """PGD whose step falls to zero along half a cosine, so that the last steps settle.

    Attributes:
        step: size of the first step in units of eps; 0.5 when not given.
    """

    def step_sizes(self) -> list[float]:
        """Size of each step in units of eps."""
        first = 0.5 if self.step is None else self.step
        return [first * 0.5 * (1 + math.cos(math.pi * t / self.steps)) for t in range(self.steps)]
