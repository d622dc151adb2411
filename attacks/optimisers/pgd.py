"""Gradient ascent by rule: one step, many steps, with momentum, with steps that shrink."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, Literal

from pydantic import Field, PositiveInt

from attacks.base import ATTACKS, Attack, AttackResult
from attacks.objectives.base import OBJECTIVES, ObjectiveSpec
from attacks.optimisers.ascent import GradientAscent
from attacks.optimisers.updates import AutoPGDUpdate, FixedSteps, MomentumUpdate, Update
from attacks.problem import Problem
from benchmark.core.parameters import Number, Parameters


class GradientAttack(Attack):
    """An attack that climbs an objective.

    Attributes:
        objective: spec of what is maximised.
    """

    always_written: ClassVar[tuple[str, ...]] = ("objective",)

    objective: ObjectiveSpec = "centroid_ce"

    def made_for(self) -> tuple[str, ...]:
        """The scenarios that the objective is made for."""
        return OBJECTIVES.build(self.objective).scenarios

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

    def perturb(self, problem: Problem) -> AttackResult:
        """Takes the step."""
        return GradientAscent(problem, self.objective, lambda: FixedSteps([1.0]), 1, start="clean").run()


class Iterative(GradientAttack):
    """Many steps by one rule.

    Attributes:
        steps: number of steps.
        restarts: independent starts, random ones after the first; the best result of each image is kept.
    """

    start: ClassVar[Literal["random", "clean"]] = "random"

    steps: PositiveInt = 20
    restarts: PositiveInt = 1

    def rule(self) -> Update:
        """The rule by which a batch moves."""
        raise NotImplementedError

    def passes_per_image(self) -> float:
        """A gradient for each step, and a look at the result."""
        return (2.0 * self.steps + 1.0) * self.restarts

    def pools_held(self) -> int:
        """The attacked pool; where all images move together also what they keep, and the best restart's."""
        together = OBJECTIVES.build(self.objective).pooled
        return 1 + (self.rule().pools + (self.restarts > 1) if together else 0)

    def perturb(self, problem: Problem) -> AttackResult:
        """Climbs."""
        return GradientAscent(problem, self.objective, self.rule, self.steps, self.restarts, self.start).run()


@ATTACKS.register("pgd")
class PGD(Iterative):
    """Projected gradient ascent with steps of one size (Madry et al. 2018, arXiv 1706.06083), random start.

    Attributes:
        step: size of a step in units of eps; 2.5 / steps when not given.
    """

    step: Annotated[Number, Field(gt=0)] | None = None

    def step_sizes(self) -> list[float]:
        """Size of each step in units of eps."""
        return [2.5 / self.steps if self.step is None else self.step] * self.steps

    def rule(self) -> Update:
        """FixedSteps of those sizes."""
        return FixedSteps(self.step_sizes())


@ATTACKS.register("bim")
class BIM(PGD):
    """PGD from the clean image (Kurakin et al. 2017, arXiv 1607.02533), with steps of eps / steps.

    Attributes:
        step: size of a step in units of eps; 1 / steps when not given.
    """

    start: ClassVar[Literal["random", "clean"]] = "clean"

    def step_sizes(self) -> list[float]:
        """Size of each step in units of eps."""
        return [1 / self.steps if self.step is None else self.step] * self.steps


@ATTACKS.register("pgd_decay")
class PGDDecay(PGD):
    """PGD whose step falls to zero along half a cosine, so that the last steps settle.

    Attributes:
        step: size of the first step in units of eps; 1 when not given: smaller first steps leave images where
            their random start was.
    """

    def step_sizes(self) -> list[float]:
        """Size of each step in units of eps."""
        first = 1.0 if self.step is None else self.step
        return [first * 0.5 * (1 + math.cos(math.pi * t / self.steps)) for t in range(self.steps)]


@ATTACKS.register("mi_fgsm")
class MIFGSM(Iterative):
    """MomentumUpdate iterative FGSM (Dong et al. 2018, arXiv 1710.06081), from the clean image.

    Attributes:
        decay: of the sum of gradients.
        step: size of a step in units of eps; 1 / steps when not given, as in the paper.
    """

    start: ClassVar[Literal["random", "clean"]] = "clean"

    decay: Annotated[float, Field(ge=0)] = 1.0
    step: Annotated[Number, Field(gt=0)] | None = None

    def rule(self) -> Update:
        """FixedSteps along the sum."""
        return MomentumUpdate(1 / self.steps if self.step is None else self.step, self.decay)


@ATTACKS.register("apgd")
class APGD(Iterative):
    """Auto-PGD (Croce and Hein 2020, arXiv 2003.01690): chooses its own step sizes, image by image."""

    def rule(self) -> Update:
        """FixedSteps of two radii that are halved where they no longer pay."""
        return AutoPGDUpdate(self.steps)
