"""Gradient attacks: one step, many steps, with momentum, with shrinking steps."""

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
    """An attack that maximizes an objective.

    Attributes:
        objective: spec of the maximized objective.
    """

    always_written: ClassVar[tuple[str, ...]] = ("objective",)

    objective: ObjectiveSpec = "centroid_ce"

    def made_for(self) -> tuple[str, ...]:
        """Names of the scenarios that the objective is made for."""
        return OBJECTIVES.build(self.objective).scenarios

    def parts(self) -> list[Parameters]:
        """The attack and its objective."""
        return [self, OBJECTIVES.build(self.objective)]

    @property
    def start_name(self) -> str:
        """What random starts depend on: attacks that search in other ways start from other points."""
        return self.portable


@ATTACKS.register("fgsm")
class FGSM(GradientAttack):
    """One step of size eps (Goodfellow et al. 2015, arXiv 1412.6572), from the clean image.

    It takes a random start for objectives whose gradient is zero at the clean image.
    """

    def cost_per_image(self) -> float:
        """Cost of one gradient, and one forward pass for the result."""
        return 3.0

    def perturb(self, problem: Problem) -> AttackResult:
        """Takes one step of size eps."""
        return GradientAscent(
            problem, self.objective, lambda: FixedSteps([1.0]), 1, start="clean", name=self.start_name
        ).run()


class IterativeAttack(GradientAttack):
    """An attack of many steps with one kind of update.

    Attributes:
        steps: number of steps.
        restarts: independent starts, random ones after the first; the best result of each image is kept.
    """

    start: ClassVar[Literal["random", "clean"]] = "random"

    steps: PositiveInt = 20
    restarts: PositiveInt = 1

    @property
    def start_name(self) -> str:
        """The spec without steps and restarts: more of either continue from the same points."""
        defaults = self.defaults()
        same = {"steps": defaults["steps"], "restarts": defaults["restarts"]}
        return self.model_copy(update=same).portable

    def make_update(self) -> Update:
        """Makes the update of one batch."""
        raise NotImplementedError

    def cost_per_image(self) -> float:
        """Cost of one gradient per step, and one forward pass for the result, for each restart."""
        return (2.0 * self.steps + 1.0) * self.restarts

    def pools_in_memory(self) -> int:
        """One for the result; for pooled objectives also the state of all updates, and the best pools.

        These are the best of the last iterates and the one that it is compared with, where pools are rated,
        and the best restart.
        """
        objective = OBJECTIVES.build(self.objective)
        if not objective.pooled:
            return 1
        return 1 + self.make_update().state_pools + 2 * objective.rates_pools + (self.restarts > 1)

    def perturb(self, problem: Problem) -> AttackResult:
        """Runs gradient ascent."""
        return GradientAscent(
            problem,
            self.objective,
            self.make_update,
            self.steps,
            self.restarts,
            self.start,
            self.start_name,
        ).run()


@ATTACKS.register("pgd")
class PGD(IterativeAttack):
    """Projected gradient ascent with steps of one size (Madry et al. 2018, arXiv 1706.06083), random start.

    Attributes:
        step: size of a step in units of eps; 2.5 / steps when not given.
    """

    step: Annotated[Number, Field(gt=0)] | None = None

    def step_sizes(self) -> list[float]:
        """Returns the size of each step in units of eps."""
        return [2.5 / self.steps if self.step is None else self.step] * self.steps

    def make_update(self) -> Update:
        """Makes steps of these sizes."""
        return FixedSteps(self.step_sizes())


@ATTACKS.register("bim")
class BIM(PGD):
    """PGD from the clean image (Kurakin et al. 2017, arXiv 1607.02533), with steps of eps / steps.

    Attributes:
        step: size of a step in units of eps; 1 / steps when not given.
    """

    start: ClassVar[Literal["random", "clean"]] = "clean"

    def step_sizes(self) -> list[float]:
        """Returns the size of each step in units of eps."""
        return [1 / self.steps if self.step is None else self.step] * self.steps


@ATTACKS.register("pgd_decay")
class PGDDecay(PGD):
    """PGD whose step falls to zero along half a cosine, so that the last steps converge.

    Attributes:
        step: size of the first step in units of eps; 1 when not given, because images hardly leave their
            random start with smaller first steps.
    """

    def step_sizes(self) -> list[float]:
        """Returns the size of each step in units of eps."""
        first = 1.0 if self.step is None else self.step
        return [first * 0.5 * (1 + math.cos(math.pi * t / self.steps)) for t in range(self.steps)]


@ATTACKS.register("mi_fgsm")
class MIFGSM(IterativeAttack):
    """Momentum iterative FGSM (Dong et al. 2018, arXiv 1710.06081), from the clean image.

    Attributes:
        decay: of the sum of gradients.
        step: size of a step in units of eps; 1 / steps when not given, as in the paper.
    """

    start: ClassVar[Literal["random", "clean"]] = "clean"

    decay: Annotated[float, Field(ge=0)] = 1.0
    step: Annotated[Number, Field(gt=0)] | None = None

    def make_update(self) -> Update:
        """Makes steps along the sum of gradients."""
        return MomentumUpdate(1 / self.steps if self.step is None else self.step, self.decay)


@ATTACKS.register("apgd")
class APGD(IterativeAttack):
    """Auto-PGD (Croce and Hein 2020, arXiv 2003.01690): adapts its step sizes, image by image."""

    def make_update(self) -> Update:
        """Makes steps of 2 eps that are halved where they make no progress."""
        return AutoPGDUpdate(self.steps)
