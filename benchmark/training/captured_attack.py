"""Training attacks captured as CUDA graphs: one for each model, objective and shape that come again."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from attacks.captured_call import (
    CAPTURED,
    DEVICES,
    FEWEST_REPLAYS,
    MAX_FLOPS,
    CapturedCall,
    Function,
    Outputs,
    capture,
    uncounted,
)
from attacks.watch import PassMeter
from benchmark.core.embedder import Embedder
from benchmark.models import count_flops

EAGER_CALLS = 2
"""Eager attacks of a kind before its capture, which show that the kind comes again."""

MOST_GRAPHS = 32
"""Graphs of one training; all of them share the memory of what they compute on the way."""

MOST_KINDS = 64
"""Kinds of attacks that are remembered: an objective that never equals another makes one in each step."""

TOLERANCE = 0.05
"""Largest mean difference of a replay from an eager attack, relative to the mean change of a pixel: where a
gradient is almost 0, rounding decides on its sign, and so on a whole step."""

COMPARED = (0.1, 0.05)
"""Radius and step size of the comparison: near the clean images, some gradients are nothing but rounding."""

Ascent = Callable[..., Tensor]
"""Maps starts and clean images, shape (n, C, H, W), the radius and the size of a step, numbers or tensors of
shape (), and what the objective is given, to attacked images."""


@dataclass
class _Kind:
    """The attacks on one model, with one objective, and inputs of the same shapes.

    Attributes:
        eager: number of eager attacks so far.
        replay: the captured attack; None where there is none.
        closed: whether the attacks stay eager.
        modules: those of the model at the capture.
        memory: addresses of its parameters and buffers at the capture.
    """

    eager: int = 0
    replay: CapturedCall | None = None
    closed: bool = False
    modules: list[nn.Module] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)


class CapturedAttacks:
    """Replays the attacks of a training, where that is possible and pays.

    Args:
        calls: number of attacks of the whole training, about; with few, nothing is captured.
        counters: count the passes of the models.
    """

    def __init__(self, calls: int = 0, counters: Sequence[PassMeter] = ()) -> None:
        self._calls = calls
        self._counters = counters
        self._kinds: dict[Hashable, _Kind] = {}
        self._flops: dict[Hashable, int] = {}
        self._graphs: list[CapturedCall] = []
        self._said: dict[str, None] = {}

    @property
    def execution(self) -> str:
        """How attacks were computed: "CUDA graph", "eager: " and why a capture was given up, or both.

        Else "eager".
        """
        return "; ".join(self._said) or "eager"

    def replay(
        self,
        ascend: Ascent,
        objective: Hashable,
        model: nn.Module,
        start: Tensor,
        images: Tensor,
        sizes: tuple[float, float],
        given: Sequence[Tensor],
    ) -> Tensor | None:
        """Computes an attack by a replay, if attacks of its kind have come before.

        Args:
            ascend: computes the attack eagerly.
            objective: what it maximizes; an equal objective computes the same from the same inputs.
            model: the model that is attacked.
            start: where the attack starts, shape (n, C, H, W).
            images: the clean images, same shape.
            sizes: radius, above 0, and size of a step.
            given: what the objective is given.

        Returns:
            The attacked images; None where they are to be computed eagerly.
        """
        if images.device.type not in DEVICES or self._calls < FEWEST_REPLAYS:
            return None
        kind = self._kind(objective, model, images, given)
        if kind is None or kind.closed:
            return None
        if kind.replay is None and kind.eager < EAGER_CALLS:
            kind.eager += 1
            return None
        # Filled on the device; a copy from the CPU would wait.
        numbers = [images.new_full((), size) for size in sizes]
        inputs = [start, images, *numbers, *given]
        if kind.replay is None:
            self._capture(kind, _without_cache(ascend, images.device.type), model, inputs)
        elif kind.memory != _memory(kind.modules):
            self._close(kind, "eager: the model's parameters or buffers were moved in memory")
        return None if kind.replay is None else kind.replay(*inputs)[0]

    def _kind(
        self, objective: Hashable, model: nn.Module, images: Tensor, given: Sequence[Tensor]
    ) -> _Kind | None:
        """Finds the kind of an attack; None where no graph is possible, or would pay."""
        if not isinstance(model, Embedder) or model.randomised:
            return None
        if getattr(objective, "__closure__", None):  # a function made for this step, which holds its tensors
            return None
        mixed = torch.is_autocast_enabled(images.device.type)
        key = (model, objective, mixed, *[(tensor.shape, tensor.dtype) for tensor in (images, *given)])
        try:
            known = self._kinds.get(key)
        except TypeError:  # an objective without a hash cannot be found again
            return None
        if known is not None:
            return known
        # As many kernels as members hide the time to launch each other.
        if len(images) * self._flops_of(model, images) > MAX_FLOPS * max(1, len(model.members)):
            return None
        if len(self._kinds) >= MOST_KINDS and not self._forget_one():
            return None
        return self._kinds.setdefault(key, _Kind())

    def _forget_one(self) -> bool:
        """Forgets the oldest kind that may still be captured; False where there is none."""
        for key, kind in self._kinds.items():
            if kind.replay is None and not kind.closed:
                del self._kinds[key]
                return True
        return False

    def _flops_of(self, model: Embedder, images: Tensor) -> int:
        """FLOPs of a forward pass of one image."""
        channels, height, width = images.shape[1:]
        key = (model, channels, height, width)
        if key not in self._flops:
            with uncounted(self._counters):
                self._flops[key] = count_flops(model, (channels, height, width))
        return self._flops[key]

    def _capture(self, kind: _Kind, function: Function, model: nn.Module, inputs: list[Tensor]) -> None:
        """Captures an attack, and compares it with an eager one on the images in another order."""
        if len(self._graphs) == MOST_GRAPHS:
            self._close(kind, f"eager: there are {MOST_GRAPHS} graphs already")
            return
        clean, given = inputs[1].flip(0), inputs[4:]
        numbers = [clean.new_full((), size) for size in COMPARED]
        start = (clean + COMPARED[0]).clamp_(max=1.0)
        others = [start, clean, *numbers, *[tensor.flip(0) if tensor.dim() else tensor for tensor in given]]

        def same(found: Outputs, expected: Outputs) -> bool:
            change = (expected[0] - start).abs().mean()
            return bool((found[0] - expected[0]).abs().mean() <= TOLERANCE * change)

        pool = self._graphs[0].pool if self._graphs else None
        replay, execution = capture(function, inputs, others, same, self._counters, pool)
        if replay is None:
            self._close(kind, execution)
            return
        self._graphs.append(replay)
        kind.replay, kind.modules = replay, list(model.modules())
        kind.memory = _memory(kind.modules)
        self._said[CAPTURED] = None

    def _close(self, kind: _Kind, execution: str) -> None:
        """Lets the attacks of a kind be eager from now on."""
        kind.replay, kind.closed = None, True
        self._said[execution] = None


def _without_cache(ascend: Ascent, device: str) -> Function:
    """Computes an attack without autocast's cache: a graph would read weights cast at the capture."""

    def function(*inputs: Tensor) -> Outputs:
        kind, enabled = torch.get_autocast_dtype(device), torch.is_autocast_enabled(device)
        with torch.autocast(device, kind, enabled=enabled, cache_enabled=False):
            return (ascend(*inputs),)

    return function


def _memory(modules: Sequence[nn.Module]) -> list[int]:
    """The addresses of the modules' parameters and buffers, which a graph reads."""
    return [
        tensor.data_ptr()
        for module in modules
        for tensors in (module._parameters, module._buffers)
        for tensor in tensors.values()
        if tensor is not None
    ]
