"""Carlini and Wagner's attack: the smallest change that breaks an image."""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from pydantic import Field, PositiveInt, field_validator
from torch import Tensor

from attacks.base import ATTACKS, AttackResult
from attacks.geometry import project, random_start
from attacks.objectives.base import OBJECTIVES, ObjectiveSpec, Score
from attacks.optimisers.ascent import evaluate, score_and_gradient
from attacks.optimisers.pgd import GradientAttack
from attacks.problem import Problem
from benchmark.core.parameters import Number

MARGIN = 0.03
"""How far the box that tanh maps onto reaches beyond [0, 1]; what reaches there is cut.

The ends of tanh's own box lie at infinity, where Adam's steps move nothing: pixels that are black or white,
most of those of a printed letter, would hardly change.
"""

GROWTH = 10.0
"""What the weight is multiplied by while nothing has broken the image."""


@ATTACKS.register("cw")
class CW(GradientAttack):
    """C&W (Carlini and Wagner 2017, arXiv 1608.04644, section VI.A), within the ball.

    Minimises |delta|^2 - c min(score, kappa) by Adam in tanh space, with a binary search for each image's
    weight c, from the clean image (from a random start where the objective is flat there). An image counts as
    broken where its score is above 0, so the objective should be a margin. The paper's attack knows no ball:
    kept is, image by image, the best iterate within it, or the smallest broken one projected onto it where
    that scores higher.

    Attributes:
        searches: weights that are tried for each image.
        steps: of Adam, for each weight.
        lr: Adam's learning rate, in tanh space.
        c: the first weight, over the spread of the pool's cosines, on whose scale the scores are.
        kappa: score above which a higher one brings nothing more.
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
    def _alone(cls, text: str) -> str:
        if OBJECTIVES.build(text).pooled:
            raise ValueError("cw breaks each image alone; give an objective that does not look at the pool")
        return text

    def passes_per_image(self) -> float:
        """A gradient at the start and at each step but a search's last, and a look at the rest."""
        return 2.0 + self.searches * (2.0 * self.steps - 1.0) + 1.0

    def perturb(self, problem: Problem) -> AttackResult:
        """Attacks batch by batch."""
        score = OBJECTIVES.build(self.objective).bind(problem)
        images, values, still = problem.empty_pool(), [], 0
        for index in problem.batches(problem.perturbed):
            best, flat = self._attack(problem, score, index)
            problem.write_batch(images, index, best.images)
            values.append(best.values)
            still += flat
        return AttackResult(images, torch.cat(values), still / len(problem.perturbed))

    def _attack(self, problem: Problem, score: Score, index: Tensor) -> tuple[_Kept, int]:
        """What was found for a batch, and how many of its first gradients were zero."""
        clean = first = problem.get_batch(index)
        if OBJECTIVES.build(self.objective).flat_at_clean:
            ids = problem.ids[index.cpu()]
            first = random_start(clean, ids, problem.norm, problem.eps, problem.seed, 0)
        values, gradient, _ = score_and_gradient(problem, score, first, index)
        still = int((gradient.flatten(1).abs().amax(1) == 0).sum())
        kept = _Kept(clean, problem.eps)
        kept.consider(first, values, inside=True)
        weights = _Weights(clean, self.c / problem.cosine_std)
        for _ in range(self.searches):
            weights.search(self._descend(problem, score, index, (first, values, gradient), weights.now, kept))
        last = kept.to_project()
        last = project(last, clean, problem.norm, problem.eps)
        kept.consider(last, evaluate(problem, score, last, index)[0], inside=True)
        if problem.eot_samples > 1:  # the best of noisy scores is a lucky one: score it anew
            kept.values, _ = evaluate(problem, score, kept.images, index)
        return kept, still

    def _descend(
        self,
        problem: Problem,
        score: Score,
        index: Tensor,
        first: tuple[Tensor, Tensor, Tensor],
        weight: Tensor,
        kept: _Kept,
    ) -> Tensor:
        """Adam under one weight for each image, from the first images; returns which of them it broke."""
        images, values, gradient = first
        squashed = (2 * images - 1) / (1 + 2 * MARGIN)
        place = torch.atanh(squashed)
        adam = torch.optim.Adam([place], lr=self.lr)
        broken = values > 0
        for step in range(self.steps):
            pull = torch.where(values <= self.kappa, weight, 0.0).view(-1, 1, 1, 1)
            slope = 2 * (_pixels(squashed) - kept.clean) - pull * gradient
            place.grad = slope * (1 - squashed.square())
            adam.step()
            squashed = torch.tanh(place)
            images = _pixels(squashed).clamp(0, 1)
            if step + 1 < self.steps:
                values, gradient, _ = score_and_gradient(problem, score, images, index)
            else:
                values, _ = evaluate(problem, score, images, index)
            kept.consider(images, values)
            broken = broken | (values > 0)
        return broken


class _Weights:
    """Binary search for the smallest weight that breaks an image, for each image.

    Args:
        images: of the batch, shape (b, C, H, W), for their number and type.
        first: the weight that all begin with.
    """

    def __init__(self, images: Tensor, first: float) -> None:
        self.now = images.new_full((len(images),), first)
        self._low = torch.zeros_like(self.now)
        self._high = torch.full_like(self.now, torch.inf)

    def search(self, broken: Tensor) -> None:
        """Goes down where the weight was enough, up where it was not."""
        self._high = torch.where(broken, self.now, self._high)
        self._low = torch.where(broken, self._low, self.now)
        self.now = torch.where(self._high.isinf(), self.now * GROWTH, (self._low + self._high) / 2)


class _Kept:
    """What is worth keeping of a batch's iterates.

    Args:
        clean: the centres of the balls, shape (b, C, H, W).
        eps: radius.

    Attributes:
        images: the best-scoring iterates within the ball; the clean images before there is one.
        values: their scores, -inf before there is one.
    """

    def __init__(self, clean: Tensor, eps: float) -> None:
        self.clean = clean
        self.eps = eps
        self.images = clean
        self.values = torch.full((len(clean),), -torch.inf, device=clean.device)
        self._smallest = clean
        self._size = torch.full_like(self.values, torch.inf)
        self._highest = clean
        self._highest_value = self.values

    def consider(self, images: Tensor, values: Tensor, inside: bool = False) -> None:
        """Looks at an iterate; `inside` says that it is in the ball whatever rounding makes of its norm."""
        size = (images - self.clean).flatten(1).norm(dim=1)
        better = (values > self.values) & ((size <= self.eps) | inside)
        self.images, self.values = (
            _where(better, images, self.images),
            torch.where(better, values, self.values),
        )
        smaller = (values > 0) & (size < self._size)
        self._smallest = _where(smaller, images, self._smallest)
        self._size = torch.where(smaller, size, self._size)
        higher = values > self._highest_value
        self._highest = _where(higher, images, self._highest)
        self._highest_value = torch.where(higher, values, self._highest_value)

    def to_project(self) -> Tensor:
        """The smallest broken iterate of each image; the highest where none is broken."""
        return _where(self._size.isinf(), self._highest, self._smallest)


def _pixels(squashed: Tensor) -> Tensor:
    return 0.5 + (0.5 + MARGIN) * squashed


def _where(chosen: Tensor, images: Tensor, others: Tensor) -> Tensor:
    return torch.where(chosen.view(-1, 1, 1, 1), images, others)
