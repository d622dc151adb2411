"""One step of an attack, captured as a CUDA graph and replayed: for networks that are bound by launches."""

from __future__ import annotations

from torch import Tensor

from attacks.captured_call import (
    DEVICES,
    FEWEST_REPLAYS,
    MAX_FLOPS,
    CapturedCall,
    Outputs,
    capture,
    uncounted,
)
from attacks.objectives.base import Objective, Score
from attacks.optimisers.evaluation import score_and_gradient
from attacks.problem import Problem
from benchmark.models import count_flops

TOLERANCE = 0.02
"""Largest difference of a replay from an eager step, relative to the largest number of the step's output."""


class Steps:
    """Computes scores and gradients of batches, as `score_and_gradient` does, by replays where that pays.

    Only full batches are replayed; a smaller last one is computed eagerly. What depends on the step, such as
    its size, is in the update, which is never captured.

    Args:
        problem: the attack's task.
        objective: the objective.
        score: the objective, bound to the problem.
        full: number of images in a full batch.
        calls: number of calls with a full batch that will follow.

    Attributes:
        score: as given.
        execution: how steps are computed: "eager", "CUDA graph", or "eager: " with the reason why a capture
            that was tried was given up.
    """

    def __init__(self, problem: Problem, objective: Objective, score: Score, full: int, calls: int) -> None:
        self.score = score
        self.execution = "eager"
        self._problem = problem
        self._full = full
        self._replay: CapturedCall | None = None
        self._to_capture = capture_pays(problem, objective, full, calls)

    def __call__(self, images: Tensor, index: Tensor) -> Outputs:
        """Computes scores and gradients.

        Args:
            images: shape (b, C, H, W).
            index: their indices in the pool, shape (b,).

        Returns:
            Scores (b,), gradients (b, C, H, W), embeddings (b, d).
        """
        if len(index) == self._full:
            if self._to_capture:
                self._to_capture = False
                self._capture(images, index)
            if self._replay is not None:
                return self._replay(images, index)
        return self._eager(images, index)

    def _eager(self, images: Tensor, index: Tensor) -> Outputs:
        return score_and_gradient(self._problem, self.score, images, index)

    def _capture(self, images: Tensor, index: Tensor) -> None:
        """Captures a step, and keeps it if a replay with other inputs gives what an eager step gives."""
        others = images.flip(0), index.flip(0)
        counters = self._problem.counters
        self._replay, self.execution = capture(self._eager, (images, index), others, _same, counters)


def capture_pays(problem: Problem, objective: Objective, full: int, calls: int) -> bool:
    """Whether a step of a problem can be captured, and replays would be faster than eager steps.

    Not for randomised models, whose draws a graph would repeat, and not for objectives that are not declared
    as capturable.
    """
    possible = problem.device.type in DEVICES and objective.capturable and not problem.embedder.randomised
    if not possible or calls < FEWEST_REPLAYS:
        return False
    with uncounted(problem.counters):
        channels, height, width = problem.shape[1:]
        return full * count_flops(problem.embedder, (channels, height, width)) <= MAX_FLOPS


def _same(found: Outputs, expected: Outputs) -> bool:
    return all(map(_close, found, expected))


def _close(found: Tensor, expected: Tensor) -> bool:
    return bool((found - expected).abs().max() <= TOLERANCE * expected.abs().max())
