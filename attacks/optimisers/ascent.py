"""The loop that the gradient attacks share."""

from __future__ import annotations

import torch
from torch import Tensor

from attacks.base import Outcome
from attacks.geometry import project, random_start, steepest
from attacks.objectives import OBJECTIVES, Objective, Score
from attacks.problem import Problem
from benchmark.core.errors import AttackError


def score_and_gradient(
    problem: Problem, score: Score, images: Tensor, index: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The score of images, its gradient, and the embeddings, each averaged over the EOT passes.

    The gradient goes through the model's differentiable stand-in (BPDA) where it declares one; the scores and
    the embeddings are the model's own all the same.

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
    (gradient,) = torch.autograd.grad(values.sum(), images)
    if not torch.isfinite(gradient).all():
        raise AttackError("The model's gradient is not a number; no attack by gradient can judge it.")
    mean = embeddings.detach().view(problem.passes, len(index), -1).mean(0)
    return values.detach(), gradient, mean


def evaluate(problem: Problem, score: Score, images: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
    """The score of images and their embeddings, averaged over the EOT passes, without a gradient."""
    with torch.no_grad():
        embeddings = problem.embedder(images.repeat(problem.passes, 1, 1, 1))
        values = score(embeddings, index.repeat(problem.passes)).view(problem.passes, -1).mean(0)
    return values, embeddings.view(problem.passes, len(index), -1).mean(0)


class Ascent:
    """Gradient ascent within the ball, over the whole pool.

    An objective of each image alone is climbed batch by batch, and the best iterate of each image is kept
    over steps and restarts. One that looks at the whole attacked pool moves all images step by step; what it
    scores moves too, so scores of different steps do not compare and the last iterate is kept.

    Args:
        problem: the attack's task.
        objective: spec of the objective.
        step_sizes: size of each step, in units of eps.
        restarts: independent starts; the best is kept.
        start: "random" or "clean".
    """

    def __init__(
        self, problem: Problem, objective: str, step_sizes: list[float], restarts: int, start: str
    ) -> None:
        self.problem = problem
        self.objective: Objective = OBJECTIVES.build(objective)
        self.step_sizes = step_sizes
        self.restarts = restarts
        self.random = start == "random" or self.objective.flat_at_clean

    def run(self) -> Outcome:
        """Climbs, and returns the images with their scores."""
        everything = torch.arange(len(self.problem), device=self.problem.images.device)
        climb = self._climb_together if self.objective.pooled else self._climb_alone
        best: Outcome | None = None
        for restart in range(self.restarts):
            images, values = climb(everything, restart)
            best = Outcome(images, values) if best is None else self._better(best, images, values)
        assert best is not None
        return best

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

    def _step(self, images: Tensor, gradient: Tensor, index: Tensor, size: float) -> Tensor:
        problem = self.problem
        moved = images + size * problem.eps * steepest(gradient, problem.norm)
        return project(moved, problem.images[index], problem.norm, problem.eps)

    def _climb_alone(self, everything: Tensor, restart: int) -> tuple[Tensor, Tensor]:
        score = self.objective.bind(self.problem)
        images, scores = [], []
        for index in self.problem.batches(everything):
            current = self._start(index, restart)
            best = Outcome(current, torch.full((len(index),), -torch.inf, device=current.device))
            for size in self.step_sizes:
                values, gradient, _ = score_and_gradient(self.problem, score, current, index)
                best = self._better(best, current, values)
                current = self._step(current, gradient, index, size)
            values, _ = evaluate(self.problem, score, current, index)
            best = self._better(best, current, values)
            if self.problem.passes > 1:  # the best of noisy scores is a lucky one: score it anew
                best.objective, _ = evaluate(self.problem, score, best.images, index)
            assert best.objective is not None
            images.append(best.images)
            scores.append(best.objective)
        return torch.cat(images), torch.cat(scores)

    def _climb_together(self, everything: Tensor, restart: int) -> tuple[Tensor, Tensor]:
        score = self.objective.bind(self.problem)
        observe = score.observe  # type: ignore[attr-defined]
        current = self._start(everything, restart)
        batches = self.problem.batches(everything)
        for size in self.step_sizes:
            seen = []
            for index in batches:
                _, gradient, embeddings = score_and_gradient(self.problem, score, current[index], index)
                current[index] = self._step(current[index], gradient, index, size)
                seen.append((index, embeddings))
            for index, embeddings in seen:  # after the step: the order of batches must not matter
                observe(index, embeddings)
        for final in (False, True):  # where all have arrived, then the score there
            values = []
            for index in batches:
                value, embeddings = evaluate(self.problem, score, current[index], index)
                values.append(value)
                if not final:
                    observe(index, embeddings)
        return current, torch.cat(values)
