"""The gradient ascent loop that the gradient attacks share."""

from __future__ import annotations

import torch
from torch import Tensor

from attacks.base import AttackResult
from attacks.geometry import Ball
from attacks.objectives.base import OBJECTIVES, Objective, PooledScore, Score, anneal
from attacks.optimisers.best_pool import BestPool
from attacks.optimisers.captured_step import Steps
from attacks.optimisers.evaluation import evaluate, evaluate_jointly, score_jointly
from attacks.optimisers.iterate import Iterate
from attacks.optimisers.updates import MakeUpdate
from attacks.problem import Problem
from attacks.result_builder import ResultBuilder


class GradientAscent:
    """Projected gradient ascent over the perturbed images of a problem.

    An objective of each image alone is maximized batch by batch, and the best iterate of each image is kept
    over steps and restarts. An objective of the whole attacked pool moves all images jointly, step by step;
    its scores depend on the pool at that step, so scores of different steps are not comparable. The last
    iterate is kept or, where the objective can rate pools, the best of the last ones. If the pool is not on
    the device, each batch is moved there for its step, and then offloaded with the state of its update.

    Args:
        problem: the attack's task.
        objective: spec of the objective.
        make_update: makes the update of one batch.
        steps: number of steps.
        restarts: independent starts; the best is kept.
        start: "random" or "clean".
        name: of the attack; random starts depend on it, so that two attacks search from two points.
    """

    def __init__(
        self,
        problem: Problem,
        objective: str,
        make_update: MakeUpdate,
        steps: int,
        restarts: int = 1,
        start: str = "random",
        name: str = "",
    ) -> None:
        self.problem = problem
        self.objective: Objective = OBJECTIVES.build(objective)
        self.make_update = make_update
        self.steps = steps
        self.restarts = restarts
        self.name = name
        self.random = start == "random" or self.objective.flat_at_clean
        self._builder = ResultBuilder(problem)
        self._all_steps = steps * restarts * len(self._builder.batches)

    def run(self) -> AttackResult:
        """Runs all restarts and returns the best attacked images with their scores."""
        if self.objective.pooled:
            for restart in self._builder.remaining(range(self.restarts)):
                score = self.objective.bind_pooled(self.problem)
                compute = self._steps_of(score, 1)
                self._ascend_jointly(score, compute, restart)
        else:
            self._ascend_per_image(self._steps_of(self.objective.bind(self.problem), self.restarts))
        return self._builder.result()

    def _steps_of(self, score: Score, restarts: int) -> Steps:
        """Returns what computes all steps of some restarts."""
        sizes = [len(index) for index in self._builder.batches]
        calls = self.steps * restarts * sizes.count(sizes[0])
        return Steps(self.problem, self.objective, score, sizes[0], calls)

    def _start(self, ball: Ball, index: Tensor, restart: int) -> Tensor:
        if not (self.random or restart):
            return ball.clean.clone()
        return ball.random_start(self.problem.ids_of(index), self.problem.seed, restart, self.name)

    def _ascend_per_image(self, compute: Steps) -> None:
        """Runs each restart batch by batch, and keeps the best result of each image."""
        batches = self._builder.batches
        rounds = [(restart, batch) for restart in range(self.restarts) for batch in range(len(batches))]
        for restart, batch in self._builder.remaining(rounds):
            self._builder.write_better(batch, *self._ascend_batch(compute, batches[batch], restart))

    def _ascend_batch(self, compute: Steps, index: Tensor, restart: int) -> tuple[Tensor, Tensor]:
        """Returns the best iterate of each image of a batch, and its score."""
        score = compute.score
        ball = self.problem.ball_for_gradients(index)
        current = Iterate(self._start(ball, index, restart), self.make_update())
        for step in self._builder.steps(self.steps, [current]):
            anneal(score, step / self.steps)
            values, gradient, embeddings = compute(current.images, index)
            self._builder.execution = compute.execution
            current.check.add(gradient, embeddings)
            if step == 0:
                self._builder.add_first_step(gradient, values)
            current.keep_best(values)
            current.images = current.update.move(current.images, values, gradient, ball)
            self.problem.watch.step(self._all_steps, values)
        current.check.look(lambda: score, index)
        values, _ = evaluate(self.problem, score, current.images, index)
        best = current.best
        assert best is not None
        if self.problem.search_is_rounded:  # so is the choice of this iterate, which now meets the last one
            best.values, _ = evaluate(self.problem, score, best.images, index)
        best.add(current.images, values)
        if self.problem.eot_samples > 1:  # the maximum of noisy scores is biased upwards: score it again
            best.values, _ = evaluate(self.problem, score, best.images, index)
        return best.images, best.values

    def _ascend_jointly(self, score: PooledScore, compute: Steps, restart: int) -> None:
        """Runs one restart step by step, and keeps the pool that is better than that of earlier restarts.

        Pools are compared by their value where the objective can rate them, else by their mean score.
        """
        problem, batches = self.problem, self._builder.batches
        best = BestPool(score, self.steps)
        images = self._last_iterates(score, compute, restart, best)
        anneal(score, 0.0)  # final values are compared, also with those of attacks without steps

        def evaluated() -> list[Tensor]:
            return evaluate_jointly(problem, score, batches, lambda batch: images[batch].to(problem.device))

        values = evaluated()
        best.add(self.steps, images)
        if best.images is not None and best.embeddings is not None:  # an earlier iterate
            images = best.images
            if problem.embedder.randomised or problem.search_is_rounded:
                values = evaluated()
            else:
                values = score_jointly(score, batches, best.embeddings)
        rating = float(torch.cat(values).mean()) if best.images is None else best.value
        best.images = best.embeddings = None
        if self._builder.rating is None or rating > self._builder.rating:
            self._builder.rating = rating
            for batch in range(len(batches)):
                self._builder.write(batch, images.pop(0), values[batch])

    def _last_iterates(
        self, score: PooledScore, compute: Steps, restart: int, best: BestPool
    ) -> list[Tensor]:
        """Returns the images of each batch after the last step, offloaded if the pool is.

        Iterates before are added to the best pool.
        """
        problem, batches = self.problem, self._builder.batches
        # Together the balls are as large as a pool: kept if it is on the device, else made at each step.
        balls = None if problem.is_offloaded else [problem.ball_for_gradients(index) for index in batches]
        current = []
        for batch, index in enumerate(batches):
            ball = balls[batch] if balls else problem.ball_for_gradients(index)
            current.append(Iterate(problem.offload(self._start(ball, index, restart)), self.make_update()))
        for step in self._builder.steps(self.steps, [*current, score, best]):
            # Held only where they may be kept: together they are as large as a pool.
            before = [iterate.images for iterate in current] if best.considers(step) else []
            embedded = []
            anneal(score, step / self.steps)
            for batch, index in enumerate(batches):
                ball = balls[batch] if balls else problem.ball_for_gradients(index)
                update, images = current[batch].update, current[batch].images.to(problem.device)
                values, gradient, embeddings = compute(images, index)
                self._builder.execution = compute.execution
                current[batch].check.add(gradient, embeddings)
                if step == 0:
                    self._builder.add_first_step(gradient, values)
                if problem.is_offloaded:
                    update.to(problem.device)
                current[batch].images = problem.offload(update.move(images, values, gradient, ball))
                if problem.is_offloaded:
                    update.to(torch.device("cpu"))
                embedded.append(embeddings)
                problem.watch.step(self._all_steps, values)
            for index, embeddings in zip(batches, embedded, strict=True):
                score.observe(index, embeddings)  # after the step: the order of batches must not matter
            best.add(step, before, embedded)
        for index, iterate in zip(batches, current, strict=True):
            iterate.check.look(lambda: self.objective.bind_pooled(problem), index)
        return [iterate.images for iterate in current]
