"""Carlini and Wagner's attack: the smallest perturbation that makes an image adversarial."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from pydantic import Field, PositiveInt, field_validator
from torch import Tensor

from attacks.base import ATTACKS, AttackResult
from attacks.geometry import Ball, per_image, where_per_image
from attacks.objectives.base import OBJECTIVES, ObjectiveSpec, Score, anneal
from attacks.optimisers.evaluation import evaluate, score_and_gradient
from attacks.optimisers.gradient_check import GradientCheck
from attacks.optimisers.pgd import GradientAttack
from attacks.problem import Problem
from attacks.result_builder import ResultBuilder
from attacks.save_point import Stateful
from benchmark.core.parameters import Number

MARGIN = 0.03
"""How far the box that tanh maps onto extends beyond [0, 1]; pixels there are clipped.

The ends of tanh's own box are at infinity, where Adam's steps change nothing: black and white pixels, most of
those of a printed letter, would hardly change.
"""

GROWTH = 10.0
"""Factor on the weight while no adversarial image was found."""


@ATTACKS.register("cw")
class CW(GradientAttack):
    """C&W (Carlini and Wagner 2017, arXiv 1608.04644, section VI.A), within the ball.

    Minimizes |delta|^2 - c min(score, kappa) by Adam in tanh space, with a binary search for each image's
    weight c, from the clean image (from a random start if the objective is flat there). An image counts as
    adversarial where its score is above 0, so the objective should be a margin. The paper's attack has no
    ball: kept is, image by image, the best iterate within the ball, or the smallest adversarial perturbation
    projected onto it if that scores higher.

    Attributes:
        searches: weights that are tried for each image.
        steps: of Adam, for each weight.
        lr: Adam's learning rate, in tanh space.
        c: the first weight, divided by the pool's typical gap of cosines (`Problem.cosine_gap`), which is the
            scale of the scores.
        kappa: score above which a higher one is not rewarded.
    """

    norms: ClassVar[tuple[str, ...]] = ("l2",)

    objective: ObjectiveSpec = "neighbour"
    searches: PositiveInt = 5
    steps: PositiveInt = 20
    lr: Annotated[Number, Field(gt=0)] = 0.1
    c: Annotated[Number, Field(gt=0)] = 1.0
    kappa: Annotated[Number, Field(ge=0)] = 0.0

    @field_validator("objective")
    @classmethod
    def _reject_pooled(cls, text: str) -> str:
        if OBJECTIVES.build(text).pooled:
            raise ValueError(
                "cw attacks images one by one; give an objective that does not depend on the pool"
            )
        return text

    def cost_per_image(self) -> float:
        """Cost of a gradient at the start and after each step but the last, and of the forward passes."""
        return 2.0 + self.searches * (2.0 * self.steps - 1.0) + 1.0

    def _all_steps(self, problem: Problem) -> int:
        """Number of steps of all batches."""
        return self.searches * self.steps * len(problem.batches(problem.perturbed))

    def perturb(self, problem: Problem) -> AttackResult:
        """Attacks batch by batch."""
        score = OBJECTIVES.build(self.objective).bind(problem)
        builder = ResultBuilder(problem)
        for batch, index in builder.unfinished():
            iterates = self._attack_batch(problem, score, index, builder)
            builder.write(batch, iterates.best, iterates.best_values)
        return builder.result()

    def _attack_batch(
        self, problem: Problem, score: Score, index: Tensor, builder: ResultBuilder
    ) -> _Iterates:
        """Returns the iterates of a batch that are worth keeping."""
        ball = problem.ball(index)
        first = ball.clean
        if OBJECTIVES.build(self.objective).flat_at_clean:
            first = ball.random_start(problem.ids_of(index), problem.seed, 0)
        check = GradientCheck()
        anneal(score, 0.0)
        values, gradient, embeddings = score_and_gradient(problem, score, first, index)
        check.add(gradient, embeddings)
        builder.add_first_step(gradient, values)
        iterates = _Iterates(ball)
        iterates.add(first, values, inside=True)
        weights, start = _Weights(ball.clean, self.c / problem.cosine_gap), _Start(first, values, gradient)
        for _ in builder.steps(self.searches, [start, iterates, weights, check]):
            weights.update(self._minimize(problem, score, index, start, weights.current, iterates, check))
        check.look(lambda: score, index)
        if problem.search_is_rounded:  # so is the choice of the best iterate
            iterates.best_values, _ = evaluate(problem, score, iterates.best, index)
        projected = ball.project(iterates.smallest_adversarial())
        iterates.add(projected, evaluate(problem, score, projected, index)[0], inside=True)
        if problem.eot_samples > 1:  # the maximum of noisy scores is biased upwards: score it again
            iterates.best_values, _ = evaluate(problem, score, iterates.best, index)
        return iterates

    def _minimize(
        self,
        problem: Problem,
        score: Score,
        index: Tensor,
        start: _Start,
        weight: Tensor,
        iterates: _Iterates,
        check: GradientCheck,
    ) -> Tensor:
        """Runs Adam with one weight for each image; returns which of them became adversarial, bool (b,).

        Args:
            problem: the attack's task.
            score: the bound objective.
            index: indices of the images in the pool, shape (b,).
            start: where each search starts.
            weight: of each image, shape (b,).
            iterates: receives every iterate.
            check: receives every gradient.
        """
        images, values, gradient = start.images, start.values, start.gradient
        squashed = (2 * images - 1) / (1 + 2 * MARGIN)
        variable = torch.atanh(squashed)
        adam = torch.optim.Adam([variable], lr=self.lr)
        adversarial = values > 0
        for step in range(self.steps):
            score_weight = per_image(torch.where(values <= self.kappa, weight, 0.0), images)
            pixel_gradient = 2 * (_pixels(squashed) - iterates.ball.clean) - score_weight * gradient
            variable.grad = pixel_gradient * (1 - squashed.square())
            adam.step()
            squashed = torch.tanh(variable)
            images = _pixels(squashed).clamp(0, 1)
            if step + 1 < self.steps:
                anneal(score, (step + 1) / self.steps)
                values, gradient, embeddings = score_and_gradient(problem, score, images, index)
                check.add(gradient, embeddings)
            else:
                values, _ = evaluate(problem, score, images, index)
            iterates.add(images, values)
            problem.watch.step(self._all_steps(problem), values)
            adversarial = adversarial | (values > 0)
        return adversarial


@dataclass
class _Start(Stateful):
    """The first images of a batch, shape (b, C, H, W), their scores, shape (b,), and the gradients."""

    images: Tensor
    values: Tensor
    gradient: Tensor


class _Weights(Stateful):
    """Binary search, for each image, for the smallest weight that makes it adversarial.

    Args:
        images: of the batch, shape (b, C, H, W), for their number and type.
        first: the weight that all start with.
    """

    def __init__(self, images: Tensor, first: float) -> None:
        self.current = images.new_full((len(images),), first)
        self._low = torch.zeros_like(self.current)
        self._high = torch.full_like(self.current, torch.inf)

    def update(self, adversarial: Tensor) -> None:
        """Lowers the weight where the image became adversarial, and raises it elsewhere."""
        self._high = torch.where(adversarial, self.current, self._high)
        self._low = torch.where(adversarial, self._low, self.current)
        bisected = (self._low + self._high) / 2
        self.current = torch.where(self._high.isinf(), self.current * GROWTH, bisected)


class _Iterates(Stateful):
    """The iterates of a batch that are worth keeping.

    Args:
        ball: the balls of the batch.

    Attributes:
        best: the best-scoring iterates within the ball; the clean images before there is one.
        best_values: their scores, -inf before there is one.
    """

    constant: ClassVar[tuple[str, ...]] = ("ball",)

    def __init__(self, ball: Ball) -> None:
        self.ball = ball
        self.best = ball.clean
        self.best_values = torch.full((len(ball.clean),), -torch.inf, device=ball.clean.device)
        self._smallest = ball.clean
        self._smallest_size = torch.full_like(self.best_values, torch.inf)
        self._highest = ball.clean
        self._highest_values = self.best_values

    def add(self, images: Tensor, values: Tensor, inside: bool = False) -> None:
        """Adds an iterate; `inside` declares it to be in the ball, whatever rounding does to its norm."""
        size = (images - self.ball.clean).flatten(1).norm(dim=1)
        better = (values > self.best_values) & ((size <= self.ball.eps) | inside)
        self.best = where_per_image(better, images, self.best)
        self.best_values = torch.where(better, values, self.best_values)
        smaller = (values > 0) & (size < self._smallest_size)
        self._smallest = where_per_image(smaller, images, self._smallest)
        self._smallest_size = torch.where(smaller, size, self._smallest_size)
        higher = values > self._highest_values
        self._highest = where_per_image(higher, images, self._highest)
        self._highest_values = torch.where(higher, values, self._highest_values)

    def smallest_adversarial(self) -> Tensor:
        """Returns each image's smallest adversarial iterate; where there is none, the best-scoring one."""
        return where_per_image(self._smallest_size.isinf(), self._highest, self._smallest)


def _pixels(squashed: Tensor) -> Tensor:
    """Maps tanh's range (-1, 1) onto the box of pixels."""
    return 0.5 + (0.5 + MARGIN) * squashed
