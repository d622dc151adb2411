"""One step of an attack, captured as a CUDA graph and replayed: for networks that are bound by launches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from attacks.objectives.base import Objective, Score
from attacks.optimisers.evaluation import score_and_gradient
from attacks.problem import Problem
from attacks.watch import PassMeter
from benchmark.models import count_flops

DEVICES = ("cuda",)
"""Kinds of device whose work can be captured."""

MAX_FLOPS = 5e10
"""FLOPs of a forward pass of one batch above which nothing is captured.

A pass of many small kernels takes about 0.7 ms to launch, whatever the batch; in that time an H100 computes
some 7e9 FLOPs of a network of small convolutions. A larger bound costs only the capture. Set by these
estimates; to be tuned on a GPU by `tests/speed/attack_speed.py --device cuda`.
"""

FEWEST_REPLAYS = 40
"""Replays that pay for the capture, with its warm-up and its comparison."""

WARM_UP = 3
"""Eager steps before the capture, in which libraries choose their algorithms and allocate workspaces."""

TOLERANCE = 0.02
"""Largest difference of a replay from an eager step, relative to the largest number of the step's output."""

Outputs = tuple[Tensor, Tensor, Tensor]
"""Scores (b,), gradients (b, C, H, W), embeddings (b, d)."""

Function = Callable[[Tensor, Tensor], Outputs]
"""Maps images (b, C, H, W) and their indices in the pool (b,) to the outputs."""


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
        """Computes the outputs for images, shape (b, C, H, W), at `index` in the pool, shape (b,)."""
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
        counters = self._problem.counters
        try:
            with torch.cuda.device(self._problem.device):
                captured = CapturedCall(self._eager, images, index, counters)
            others = images.flip(0), index.flip(0)
            with uncounted(counters):
                same = all(map(_close, captured(*others), self._eager(*others)))
        except RuntimeError as error:  # whatever CUDA cannot capture; eagerly it may still run
            self.execution = f"eager: the capture failed: {str(error).strip().splitlines()[0]}"
            return
        if same:
            self._replay, self.execution = captured, "CUDA graph"
        else:
            self.execution = "eager: a replay differed from the model, which keeps state outside of tensors"


class CapturedCall:
    """A function captured as a CUDA graph, with inputs and outputs in memory of its own.

    Passes are counted by hooks, which run at the capture and not in replays: what they counted there is added
    for each replay, and the warm-up and the capture themselves are not counted.

    Args:
        function: computes the outputs; it may not look at values, and its Python code runs only now.
        images: of the size that all later ones have, shape (b, C, H, W), on the current CUDA device.
        index: their indices in the pool, shape (b,).
        counters: count the passes of the models that the function runs.

    Raises:
        RuntimeError: when the function does what cannot be captured.
    """

    def __init__(
        self, function: Function, images: Tensor, index: Tensor, counters: Sequence[PassMeter] = ()
    ) -> None:
        self._images, self._index = images.clone(), index.clone()
        self._counters = counters
        with uncounted(counters):
            self._warm_up(function)
        with uncounted(counters) as before:
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph):
                self._outputs = self._run(function)
            after = [(counter.forward, counter.backward) for counter in counters]
            self._units = [(a - c, b - d) for (a, b), (c, d) in zip(after, before, strict=True)]

    def _run(self, function: Function) -> Outputs:
        # A new view at each call: scores may keep what they found for the indices of the latest call.
        return function(self._images, self._index.view_as(self._index))

    def _warm_up(self, function: Function) -> None:
        """Runs the function a few times on another stream, as captures need."""
        stream, current = torch.cuda.Stream(), torch.cuda.current_stream()
        stream.wait_stream(current)
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP):
                self._run(function)
        current.wait_stream(stream)

    def __call__(self, images: Tensor, index: Tensor) -> Outputs:
        """Replays the function for other images and indices; the outputs are the caller's to keep."""
        self._images.copy_(images)
        self._index.copy_(index)
        self._graph.replay()
        for counter, (forward, backward) in zip(self._counters, self._units, strict=True):
            counter.forward += forward
            counter.backward += backward
        values, gradient, embeddings = self._outputs
        return values.clone(), gradient.clone(), embeddings.clone()


@contextmanager
def uncounted(counters: Sequence[PassMeter]) -> Iterator[list[tuple[float, float]]]:
    """Sets counters back, after the block, to what they were before, which it yields."""
    before = [(counter.forward, counter.backward) for counter in counters]
    try:
        yield before
    finally:
        for counter, (forward, backward) in zip(counters, before, strict=True):
            counter.forward, counter.backward = forward, backward


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


def _close(found: Tensor, expected: Tensor) -> bool:
    return bool((found - expected).abs().max() <= TOLERANCE * expected.abs().max())
