"""The loop that the gradient attacks share."""

from __future__ import annotations

import torch
from torch import Tensor

from attacks.base import Outcome
from attacks.geometry import random_start
from attacks.objectives import OBJECTIVES, Objective, Score
from attacks.optimisers.rules import Ball, MakeRule, Rule
from attacks.problem import Problem
from benchmark.core.errors import AttackError


def score_and_gradient(
    problem: Problem, score: Score, images: Tensor, index: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The score of images, its gradient, and the embeddings, each averaged over the EOT passes.

    The gradient goes through the model's differentiable stand-in (BPDA) where it declares one; the scores and
    the embeddings are the model's own all the same. A model that lets no gradient through has a gradient of
    zero, which the checks will tell.

    Args:
        problem: the attack's task.
        score: the bound objective.
        images: attacked images, shape (b, C, H, W).
        index: their indices in the pool, shape (b,).

    Returns:
        Scores (b,), gradients (b, C, H, W), mean embeddings (b, d).

    Raises:
        AttackError: when a gradient is not a number; an attack that it stops must not pass for robustness.
    """
    images = images.detach().requires_grad_(True)
    repeated = images.repeat(problem.passes, 1, 1, 1)
    stand_in = problem.embedder.differentiable()
    embeddings = stand_in(repeated)
    if stand_in is not problem.embedder:
        with torch.no_grad():
            true = problem.embedder(repeated)
        embeddings = true + (embeddings - embeddings.detach())
    values = score(embeddings, index.repeat(problem.passes)).view(problem.passes, -1).mean(0)
    if not values.requires_grad:
        values = values + 0 * images.sum()
    (gradient,) = torch.autograd.grad(values.sum(), images)
    if not torch.isfinite(gradient).all():
        raise AttackError("The model's gradient is not a number; no attack by gradient can judge it.")
    mean = embeddings.detach().view(problem.passes, len(index), -1).mean(0)
    return values.detach(), gradient, mean


def evaluate(problem: Problem, score: Score | None, images: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
    """The score of images (0 without one) and their embeddings, averaged over EOT, without a gradient."""
    with torch.no_grad():
        embeddings = problem.embedder(images.repeat(problem.passes, 1, 1, 1))
        values = embeddings.new_zeros(len(index))
        if score is not None:
            values = score(embeddings, index.repeat(problem.passes)).view(problem.passes, -1).mean(0)
    return values, embeddings.view(problem.passes, len(index), -1).mean(0)


def score_together(problem: Problem, score: Score, images: Tensor) -> Tensor:
    """The score of each target where all of them have arrived, for an objective on the whole pool.

    Args:
        problem: the attack's task.
        score: the bound objective, with its `observe`.
        images: the targets' attacked images, shape (t, C, H, W).

    Returns:
        Scores (t,).
    """
    batches = problem.batches(problem.targets)
    parts = images.split([len(index) for index in batches])
    arrived = [evaluate(problem, None, part, index)[1] for part, index in zip(parts, batches, strict=True)]
    for index, embeddings in zip(batches, arrived, strict=True):
        score.observe(index, embeddings)  # type: ignore[attr-defined]
    return torch.cat(
        [evaluate(problem, score, part, index)[0] for part, index in zip(parts, batches, strict=True)]
    )


class Ascent:
    """Gradient ascent within the ball, over the problem's targets.

    An objective of each image alone is climbed batch by batch, and the best iterate of each image is kept
    over steps and restarts. One that looks at the whole attacked pool moves all images step by step; what it
    scores moves too, so scores of different steps do not compare and the last iterate is kept.

    Args:
        problem: the attack's task.
        objective: spec of the objective.
        rule: makes the rule by which a batch moves.
        steps: number of steps.
        restarts: independent starts; the best is kept.
        start: "random" or "clean".
    """

    def __init__(
        self,
        problem: Problem,
        objective: str,
        rule: MakeRule,
        steps: int,
        restarts: int = 1,
        start: str = "random",
    ) -> None:
        self.problem = problem
        self.objective: Objective = OBJECTIVES.build(objective)
        self.rule = rule
        self.steps = steps
        self.restarts = restarts
        self.random = start == "random" or self.objective.flat_at_clean
        self._batches = problem.batches(problem.targets)
        self._without_gradient = 0

    def run(self) -> Outcome:
        """Climbs, and returns the images with their scores."""
        climb = self._climb_together if self.objective.pooled else self._climb_alone
        best: Outcome | None = None
        for restart in range(self.restarts):
            images, values = climb(restart)
            best = Outcome(images, values) if best is None else self._better(best, images, values)
        assert best is not None
        images = self.problem.images.clone()
        images[self.problem.targets] = best.images
        return Outcome(
            images, best.objective, self._without_gradient / (self.restarts * len(self.problem.targets))
        )

    def _better(self, best: Outcome, images: Tensor, values: Tensor) -> Outcome:
        assert best.objective is not None
        if self.objective.pooled:  # scores of one pool mean nothing in another: the better pool as a whole
            return Outcome(images, values) if values.mean() > best.objective.mean() else best
        risen = values > best.objective
        chosen = torch.where(risen.view(-1, *[1] * (images.dim() - 1)), images, best.images)
        return Outcome(chosen, torch.maximum(values, best.objective))

    def _start(self, index: Tensor, restart: int) -> Tensor:
        clean = self.problem.images[index]
        if not (self.random or restart):
            return clean.clone()
        ids = self.problem.ids[index.cpu()]
        return random_start(clean, ids, self.problem.norm, self.problem.eps, self.problem.seed, restart)

    def _rule(self, index: Tensor) -> Rule:
        return self.rule(Ball(self.problem.images[index], self.problem.norm, self.problem.eps))

    def _note(self, step: int, gradient: Tensor) -> None:
        if step == 0:
            self._without_gradient += int((gradient.flatten(1).abs().amax(1) == 0).sum())

    def _climb_alone(self, restart: int) -> tuple[Tensor, Tensor]:
        score = self.objective.bind(self.problem)
        images, scores = [], []
        for index in self._batches:
            current = self._start(index, restart)
            rule = self._rule(index)
            best = Outcome(current, torch.full((len(index),), -torch.inf, device=current.device))
            for step in range(self.steps):
                values, gradient, _ = score_and_gradient(self.problem, score, current, index)
                self._note(step, gradient)
                best = self._better(best, current, values)
                current = rule.move(current, values, gradient)
            values, _ = evaluate(self.problem, score, current, index)
            best = self._better(best, current, values)
            if self.problem.passes > 1:  # the best of noisy scores is a lucky one: score it anew
                best.objective, _ = evaluate(self.problem, score, best.images, index)
            assert best.objective is not None
            images.append(best.images)
            scores.append(best.objective)
        return torch.cat(images), torch.cat(scores)

    def _climb_together(self, restart: int) -> tuple[Tensor, Tensor]:
        score = self.objective.bind(self.problem)
        observe = score.observe  # type: ignore[attr-defined]
        batches = self._batches
        current = [self._start(index, restart) for index in batches]
        rules = [self._rule(index) for index in batches]
        for step in range(self.steps):
            seen = []
            for place, index in enumerate(batches):
                values, gradient, embeddings = score_and_gradient(self.problem, score, current[place], index)
                self._note(step, gradient)
                current[place] = rules[place].move(current[place], values, gradient)
                seen.append((index, embeddings))
            for index, embeddings in seen:  # after the step: the order of batches must not matter
                observe(index, embeddings)
        return torch.cat(current), score_together(self.problem, score, torch.cat(current))
