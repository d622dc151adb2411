"""The loop that the gradient attacks share."""

from __future__ import annotations

import torch
from torch import Tensor

from attacks.base import AttackResult
from attacks.geometry import random_start
from attacks.objectives import OBJECTIVES, Objective, Score
from attacks.optimisers.updates import Ball, MakeUpdate
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
    repeated = images.repeat(problem.eot_samples, 1, 1, 1)
    stand_in = problem.embedder.differentiable()
    embeddings = stand_in(repeated)
    if stand_in is not problem.embedder:
        with torch.no_grad():
            true = problem.embedder(repeated)
        embeddings = true + (embeddings - embeddings.detach())
    values = score(embeddings, index.repeat(problem.eot_samples)).view(problem.eot_samples, -1).mean(0)
    if not values.requires_grad:
        values = values + 0 * images.sum()
    (gradient,) = torch.autograd.grad(values.sum(), images)
    if not torch.isfinite(gradient).all():
        raise AttackError("The model's gradient is not a number; no attack by gradient can judge it.")
    mean = embeddings.detach().view(problem.eot_samples, len(index), -1).mean(0)
    return values.detach(), gradient, mean


def evaluate(problem: Problem, score: Score | None, images: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
    """The score of images (0 without one) and their embeddings, averaged over EOT, without a gradient."""
    with torch.no_grad():
        embeddings = problem.embedder(images.repeat(problem.eot_samples, 1, 1, 1))
        values = embeddings.new_zeros(len(index))
        if score is not None:
            values = (
                score(embeddings, index.repeat(problem.eot_samples)).view(problem.eot_samples, -1).mean(0)
            )
    return values, embeddings.view(problem.eot_samples, len(index), -1).mean(0)


def score_together(problem: Problem, score: Score, images: Tensor) -> Tensor:
    """The score of each target where all of them have arrived, for an objective on the whole pool.

    Args:
        problem: the attack's task.
        score: the bound objective, with its `observe`.
        images: the attacked pool, shape (n, C, H, W).

    Returns:
        Scores (t,).
    """
    batches = problem.batches(problem.perturbed)
    arrived = [evaluate(problem, None, problem.get_batch(index, images), index)[1] for index in batches]
    for index, embeddings in zip(batches, arrived, strict=True):
        score.observe(index, embeddings)  # type: ignore[attr-defined]
    return torch.cat(
        [evaluate(problem, score, problem.get_batch(index, images), index)[0] for index in batches]
    )


class GradientAscent:
    """Gradient ascent within the ball, over the problem's targets.

    An objective of each image alone is climbed batch by batch, and the best iterate of each image is kept
    over steps and restarts. One that looks at the whole attacked pool moves all images step by step; what it
    scores moves too, so scores of different steps do not compare and the last iterate is kept. Where the pool
    is not on the device, a batch is there while it moves, and away with all that its rule keeps while others
    do.

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
        rule: MakeUpdate,
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
        self._batches = problem.batches(problem.perturbed)
        self._without_gradient = 0

    def run(self) -> AttackResult:
        """Climbs, and returns the images with their scores."""
        climb = self._ascend_jointly if self.objective.pooled else self._ascend_per_image
        best: AttackResult | None = None
        for restart in range(self.restarts):
            best = climb(restart, best)
        assert best is not None
        best.zero_gradient = self._without_gradient / (self.restarts * len(self.problem.perturbed))
        return best

    def _ball(self, index: Tensor) -> Ball:
        return Ball(self.problem.get_batch(index), self.problem.norm, self.problem.eps)

    def _start(self, ball: Ball, index: Tensor, restart: int) -> Tensor:
        if not (self.random or restart):
            return ball.clean.clone()
        ids = self.problem.ids[index.cpu()]
        return random_start(ball.clean, ids, self.problem.norm, self.problem.eps, self.problem.seed, restart)

    def _note(self, step: int, gradient: Tensor) -> None:
        if step == 0:
            self._without_gradient += int((gradient.flatten(1).abs().amax(1) == 0).sum())

    def _ascend_per_image(self, restart: int, best: AttackResult | None) -> AttackResult:
        """Climbs batch by batch; the better of what was found and what it was given, image by image."""
        score = self.objective.bind(self.problem)
        images, scores = self.problem.empty_pool() if best is None else best.images, []
        done = 0
        for index in self._batches:
            found, values = self._climb(score, index, restart)
            if best is not None:
                assert best.objective is not None
                before = best.objective[done : done + len(index)]
                found, values = _better(self.problem.get_batch(index, images), before, found, values)
            self.problem.write_batch(images, index, found)
            scores.append(values)
            done += len(index)
        return AttackResult(images, torch.cat(scores))

    def _climb(self, score: Score, index: Tensor, restart: int) -> tuple[Tensor, Tensor]:
        """The best iterate of each image of a batch, and its score."""
        ball = self._ball(index)
        rule = self.rule()
        current = self._start(ball, index, restart)
        best, best_values = current, torch.full((len(index),), -torch.inf, device=current.device)
        for step in range(self.steps):
            values, gradient, _ = score_and_gradient(self.problem, score, current, index)
            self._note(step, gradient)
            best, best_values = _better(best, best_values, current, values)
            current = rule.move(current, values, gradient, ball)
        values, _ = evaluate(self.problem, score, current, index)
        best, best_values = _better(best, best_values, current, values)
        if self.problem.eot_samples > 1:  # the best of noisy scores is a lucky one: score it anew
            best_values, _ = evaluate(self.problem, score, best, index)
        return best, best_values

    def _ascend_jointly(self, restart: int, best: AttackResult | None) -> AttackResult:
        """Climbs step by step; the better pool as a whole: scores of one mean nothing in another."""
        problem = self.problem
        score = self.objective.bind(problem)
        images = self._ascend(score, restart)
        values = score_together(problem, score, images)
        if best is None or best.objective is None or values.mean() > best.objective.mean():
            return AttackResult(images, values)
        return best

    def _ascend(self, score: Score, restart: int) -> Tensor:
        """The attacked pool after the last step."""
        problem, batches = self.problem, self._batches
        rules = [self.rule() for _ in batches]
        # Fetched once where they are at hand, and else each time: together they are a pool.
        balls = None if problem.is_offloaded else [self._ball(index) for index in batches]
        current = []
        for place, index in enumerate(batches):
            ball = balls[place] if balls else self._ball(index)
            current.append(problem.offload(self._start(ball, index, restart)))
        for step in range(self.steps):
            seen = []
            for place, index in enumerate(batches):
                ball, rule = balls[place] if balls else self._ball(index), rules[place]
                images = current[place].to(problem.device)
                values, gradient, embeddings = score_and_gradient(problem, score, images, index)
                self._note(step, gradient)
                if problem.is_offloaded:
                    rule.fetch(problem.device)
                current[place] = problem.offload(rule.move(images, values, gradient, ball))
                if problem.is_offloaded:
                    rule.fetch(torch.device("cpu"))
                seen.append((index, embeddings))
            for index, embeddings in seen:  # after the step: the order of batches must not matter
                score.observe(index, embeddings)  # type: ignore[attr-defined]
        del balls, rules
        found = problem.empty_pool()
        for index in batches:
            problem.write_batch(found, index, current.pop(0))
        return found


def _better(best: Tensor, best_values: Tensor, images: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """Image by image, what scores higher; the first where they are equal."""
    risen = (values > best_values).view(-1, *[1] * (images.dim() - 1))
    return torch.where(risen, images, best), torch.maximum(values, best_values)
