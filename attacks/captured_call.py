"""A computation on a GPU, captured as a CUDA graph and replayed: for networks that are bound by launches."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from attacks.watch import PassMeter

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
"""Eager calls before the capture, in which libraries choose their algorithms and allocate workspaces."""

CAPTURED = "CUDA graph"
"""How calls are computed that are replayed; others are "eager"."""

Outputs = tuple[Tensor, ...]

Function = Callable[..., Outputs]
"""Maps tensors to tensors."""

Comparison = Callable[[Outputs, Outputs], bool]
"""Whether the outputs of a replay are near enough to those of an eager call."""


class CapturedCall:
    """A function captured as a CUDA graph, with inputs and outputs in memory of its own.

    Passes are counted by hooks, which run at the capture and not in replays: what they counted there is added
    for each replay, and the warm-up and the capture themselves are not counted.

    Args:
        function: computes the outputs; it may not look at values, and its Python code runs only now.
        inputs: of the shapes that all later ones have, on one device.
        counters: count the passes of the models that the function runs.
        pool: memory that is shared with another call, which is then never replayed at the same time.

    Raises:
        RuntimeError: when the function does what cannot be captured.
    """

    def __init__(
        self,
        function: Function,
        inputs: Sequence[Tensor],
        counters: Sequence[PassMeter] = (),
        pool: Any = None,
    ) -> None:
        self._inputs = [tensor.clone() for tensor in inputs]
        self._counters = counters
        with uncounted(counters):
            stream = self._warm_up(function)
        with uncounted(counters):
            for counter in counters:
                counter.forward = counter.backward = 0.0  # what is added later is then exact
            self._graph = torch.cuda.CUDAGraph()
            try:
                # Other threads may go on with what a capture forbids to its own, such as pinning memory.
                with torch.cuda.graph(self._graph, pool=pool, capture_error_mode="thread_local"):
                    self._outputs = self._run(function)
            except RuntimeError:
                _leave_capture(self._inputs[0].device, stream)
                raise
            self._units = [(counter.forward, counter.backward) for counter in counters]

    @property
    def pool(self) -> Any:
        """The memory of the call, for calls that share it."""
        return self._graph.pool()

    def _run(self, function: Function) -> Outputs:
        # New views at each call: functions may keep what they found for the inputs of the latest call.
        return function(*[tensor.view_as(tensor) for tensor in self._inputs])

    def _warm_up(self, function: Function) -> torch.cuda.Stream:
        """Runs the function a few times on another stream, as captures need; returns the current one.

        The last time, what would wait for the device raises an error: a failed capture leaves more behind.
        """
        stream, current = torch.cuda.Stream(), torch.cuda.current_stream()
        stream.wait_stream(current)
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP - 1):
                self._run(function)
            with _no_waiting():
                self._run(function)
        current.wait_stream(stream)
        return current

    def __call__(self, *inputs: Tensor) -> Outputs:
        """Replays the function for other inputs; the outputs are the caller's to keep."""
        for kept, tensor in zip(self._inputs, inputs, strict=True):
            kept.copy_(tensor)
        self._graph.replay()
        for counter, (forward, backward) in zip(self._counters, self._units, strict=True):
            counter.forward += forward
            counter.backward += backward
        return tuple(output.clone() for output in self._outputs)


def capture(
    function: Function,
    inputs: Sequence[Tensor],
    others: Sequence[Tensor],
    same: Comparison,
    counters: Sequence[PassMeter] = (),
    pool: Any = None,
) -> tuple[CapturedCall | None, str]:
    """Captures a function, and compares a replay with an eager call.

    Args:
        function: as for `CapturedCall`.
        inputs: those of the capture.
        others: other inputs of the same shapes, for the comparison.
        same: compares the outputs of the replay, and those of the eager call.
        counters: as for `CapturedCall`.
        pool: as for `CapturedCall`.

    Returns:
        The call, None where the function cannot be captured; and how it is to be computed: "CUDA graph", or
        "eager: " and the reason.
    """
    try:
        with torch.cuda.device(inputs[0].device):
            captured = CapturedCall(function, inputs, counters, pool)
        with uncounted(counters):
            replayed = same(captured(*others), function(*others))
    except RuntimeError as error:  # whatever CUDA cannot capture; eagerly it may still run
        return None, f"eager: the capture failed: {str(error).strip().splitlines()[0]}"
    if not replayed:
        return None, "eager: a replay differed from the model, which keeps state outside of tensors"
    return captured, CAPTURED


@contextmanager
def uncounted(counters: Sequence[PassMeter]) -> Iterator[list[tuple[float, float]]]:
    """Sets counters back, after the block, to what they were before, which it yields."""
    before = [(counter.forward, counter.backward) for counter in counters]
    try:
        yield before
    finally:
        for counter, (forward, backward) in zip(counters, before, strict=True):
            counter.forward, counter.backward = forward, backward


@contextmanager
def _no_waiting() -> Iterator[None]:
    """Lets whatever waits for the device within the block raise a RuntimeError."""
    before = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the mode does not find everything, which is no news for a user
        torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(before)


def _leave_capture(device: torch.device, stream: torch.cuda.Stream) -> None:
    """Mends what torch leaves behind when a capture fails: its stream, and a generator that draws no more."""
    if device.type != "cuda":
        return
    torch.cuda.set_stream(stream)
    generator = torch.cuda.default_generators[stream.device_index]
    generator.graphsafe_set_state(generator.clone_state())
