"""The attack that robrank runs for each of its measures."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field, PositiveInt

from attacks.base import ATTACKS, Attack, AttackResult
from attacks.objectives.base import anneal
from attacks.optimisers.evaluation import evaluate, score_and_gradient
from attacks.optimisers.iterate import Iterate
from attacks.optimisers.updates import FixedSteps
from attacks.problem import Problem
from attacks.ranking.base import MEASURES, Measure, MeasureSpec
from attacks.result_builder import ResultBuilder
from benchmark.core.errors import BenchmarkError
from benchmark.core.parameters import Number, Parameters


@ATTACKS.register("robrank")
class Robrank(Attack):
    """Steps of one size from the clean image, for one of robrank's ranking measures (arXiv 2106.03614).

    As published, the last iterate is scored, not the best. 3/8 is robrank's step of 3/255 in its ball of
    8/255.

    Attributes:
        measure: spec of the measure that is attacked and scored.
        steps: number of steps.
        step: size of a step in units of eps.
    """

    scenarios: ClassVar[tuple[str, ...]] = ("ranking",)
    always_written: ClassVar[tuple[str, ...]] = ("measure",)

    measure: MeasureSpec = "ca_plus"
    steps: PositiveInt = 32
    step: Annotated[Number, Field(gt=0)] = 3 / 8

    def parts(self) -> list[Parameters]:
        """The attack and its measure."""
        return [self, MEASURES.build(self.measure)]

    def cost_per_image(self) -> float:
        """Cost of one gradient per step, and one forward pass for the result."""
        return 2.0 * self.steps + 1.0

    def perturb(self, problem: Problem) -> AttackResult:
        """Takes the steps, batch by batch.

        Raises:
            BenchmarkError: when some images are queries only: in these measures each image is a query and a
                candidate.
        """
        if problem.queries is not None:
            raise BenchmarkError(f"{self.spec} needs a pool in which each image queries all others.")
        score = MEASURES.build(self.measure).bind(problem)
        builder = ResultBuilder(problem)
        for batch, index in builder.unfinished():
            ball = problem.ball(index)
            current = Iterate(ball.clean, FixedSteps([self.step] * self.steps))
            for step in builder.steps(self.steps, [current]):
                anneal(score, step / self.steps)
                values, gradient, embeddings = score_and_gradient(problem, score, current.images, index)
                current.check.add(gradient, embeddings)
                if step == 0:
                    builder.add_first_step(gradient, values)
                current.images = current.update.move(current.images, values, gradient, ball)
                problem.watch.step(self.steps * len(builder.batches), values)
            current.check.look(lambda: score, index)
            builder.write(batch, current.images, evaluate(problem, score, current.images, index)[0])
        return builder.result()


def measure_of(attack: Attack) -> Measure | None:
    """Returns the ranking measure of an attack, or None."""
    return next((part for part in attack.parts() if isinstance(part, Measure)), None)
