"""The attack that robrank runs for each of its measures."""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from pydantic import AfterValidator, Field, PositiveInt

from attacks.base import ATTACKS, Attack, AttackResult
from attacks.optimisers.ascent import evaluate, score_and_gradient
from attacks.optimisers.updates import Ball
from attacks.problem import Problem
from attacks.ranking.base import MEASURES, Measure
from benchmark.core.errors import BenchmarkError
from benchmark.core.parameters import Number, Parameters


@ATTACKS.register("robrank")
class Robrank(Attack):
    """FixedSteps of one size from the clean image, for one of robrank's ranking measures (arXiv 2106.03614).

    As published, the last iterate is what is scored, not the best. 3/8 is robrank's step of 3/255 in its ball
    of 8/255.

    Attributes:
        measure: what is attacked and measured.
        steps: number of steps.
        step: size of a step in units of eps.
    """

    scenarios: ClassVar[tuple[str, ...]] = ("ranking",)
    always_written: ClassVar[tuple[str, ...]] = ("measure",)

    measure: Annotated[str, AfterValidator(MEASURES.canonical)] = "ca_plus"
    steps: PositiveInt = 32
    step: Annotated[Number, Field(gt=0)] = 3 / 8

    def parts(self) -> list[Parameters]:
        """The attack and its measure."""
        return [self, MEASURES.build(self.measure)]

    def passes_per_image(self) -> float:
        """A gradient for each step, and a look at the result."""
        return 2.0 * self.steps + 1.0

    def perturb(self, problem: Problem) -> AttackResult:
        """Climbs, batch by batch.

        Raises:
            BenchmarkError: where some images only query: in these measures each image is a query and a
                candidate.
        """
        if problem.queries is not None:
            raise BenchmarkError(f"{self.spec} needs a pool in which each image queries all others.")
        score = MEASURES.build(self.measure).bind(problem)
        images, values, without_gradient = problem.empty_pool(), [], 0
        for index in problem.batches(problem.perturbed):
            ball = Ball(problem.get_batch(index), problem.norm, problem.eps)
            current = ball.clean
            for step in range(self.steps):
                _, gradient, _ = score_and_gradient(problem, score, current, index)
                if step == 0:
                    without_gradient += int((gradient.flatten(1).abs().amax(1) == 0).sum())
                current = ball.step(current, gradient, self.step)
            problem.write_batch(images, index, current)
            values.append(evaluate(problem, score, current, index)[0])
        return AttackResult(images, torch.cat(values), without_gradient / len(problem.perturbed))


def measure_of(attack: Attack) -> Measure | None:
    """The ranking measure that an attack is about, or None."""
    return next((part for part in attack.parts() if isinstance(part, Measure)), None)
