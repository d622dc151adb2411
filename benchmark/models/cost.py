"""Cost, counted in forward and backward passes instead of measured in time.

One cost unit is a forward pass of one image through one plain backbone. A backward pass to the input costs
one unit, a backward pass to the parameters one more. A member of another size is weighted by its FLOPs.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn

from benchmark.core.embedder import Embedder
from benchmark.models.frozen import frozen
from benchmark.models.layer_flops import layer_flops
from benchmark.models.layer_watch import LayerWatch
from benchmark.models.member import Member
from benchmark.models.traced_flops import traced_flops


def middle_gray(image_shape: tuple[int, int, int], device: torch.device) -> Tensor:
    """Make the image that passes are counted with; a black one may be refused."""
    return torch.full((1, *image_shape), 0.5, device=device)


def count_flops(module: nn.Module, image_shape: tuple[int, int, int]) -> int:
    """Count the FLOPs of one forward pass of one image of shape (C, H, W)."""
    device = next((p.device for p in module.parameters()), torch.device("cpu"))
    image = middle_gray(image_shape, device)
    with frozen(module):
        known = layer_flops(module, image)
        return traced_flops(module, image) if known is None else known


def _counted(embedder: Embedder) -> list[nn.Module]:
    """Find every `Member` within a model, however wrapped, and the networks that it holds beside them.

    Such a network is an outermost embedder with parameters that contains no member, as another method's model
    may be. Without any member, they are the members that the model declares.
    """
    members = [part for part in embedder.modules() if isinstance(part, Member)]
    return [*members, *_other_networks(embedder)] if members else list(embedder.members)


def _other_networks(module: nn.Module) -> list[nn.Module]:
    """Find the outermost embedders with parameters that neither contain a member nor are within one."""
    if isinstance(module, Member):
        return []
    if isinstance(module, Embedder) and not any(isinstance(part, Member) for part in module.modules()):
        return [module] if any(True for _ in module.parameters()) else []
    return list(dict.fromkeys(found for child in module.children() for found in _other_networks(child)))


class PassCounter:
    """Counts the cost units of forward and backward passes through an embedder's members in a `with` block.

    Models that it holds beside them, such as a teacher, are counted too. With `everywhere`, so is all else
    that runs in the block, by its FLOPs: a part of a member called directly, a network that the embedder
    does not hold, and what a member runs beyond what it ran when it was looked at.

    A backward pass is counted when a gradient reaches an output: two units while its parameters are trained,
    one while they are frozen, as they are in attacks.

    Args:
        embedder: the model whose members are counted.
        image_shape: (C, H, W).
        unit_flops: FLOPs of one forward pass through the plain backbone.
        everywhere: count layers outside of the members; no other such counter may be in a block of its own.
    """

    def __init__(
        self,
        embedder: Embedder,
        image_shape: tuple[int, int, int],
        unit_flops: int,
        everywhere: bool = False,
    ) -> None:
        self._embedder = embedder
        self._image_shape = image_shape
        self._unit_flops = unit_flops
        self.forward = 0.0
        self.backward = 0.0
        self._flops = {member: count_flops(member, image_shape) for member in _counted(embedder)}
        self._parameters: dict[nn.Module, list[nn.Parameter]] = {}
        self._watch = LayerWatch(self._count_layer) if everywhere else None
        self._running: list[int] = []  # FLOPs so far of the members that are running, the innermost last
        self._handles: list[Any] = []

    @property
    def total(self) -> float:
        """Cost units of forward and backward passes together."""
        return self.forward + self.backward

    @property
    def per_image(self) -> float:
        """Cost units of embedding one image; a model may run a member several times."""
        device = next((p.device for p in self._embedder.parameters()), torch.device("cpu"))
        before = self.forward
        devices = [device] if device.type == "cuda" else []
        with torch.random.fork_rng(devices), frozen(self._embedder), torch.no_grad(), self:
            self._embedder(middle_gray(self._image_shape, device))
        units, self.forward = self.forward - before, before
        return units

    def __enter__(self) -> PassCounter:
        self._running = []
        # Listed once: a look through all modules in each pass takes as long as a small layer.
        self._parameters = {member: list(member.parameters()) for member in self._flops}
        for member in self._flops:
            self._handles.append(member.register_forward_pre_hook(self._begin))
            self._handles.append(member.register_forward_hook(self._count, always_call=True))
        if self._watch is not None:
            self._watch.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._watch is not None:
            self._watch.__exit__(kind, error, trace)
        while self._handles:
            self._handles.pop().remove()

    def _begin(self, member: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self._running.append(0)

    def _count(self, member: nn.Module, inputs: tuple[Tensor, ...], output: Tensor | None) -> None:
        found = self._running.pop() if self._running else 0  # nothing began where a hook before this raised
        planned = len(inputs[0]) * self._flops[member]
        units = len(inputs[0]) * (self._flops[member] / self._unit_flops)
        if output is not None:  # else an error was raised
            trained = any(parameter.requires_grad for parameter in self._parameters[member])
            self._add(found / self._unit_flops if found > planned else units, output, trained)

    def _count_layer(self, flops: int, weight: Tensor, output: Tensor) -> None:
        if self._running:
            self._running[-1] += flops
        else:
            self._add(flops / self._unit_flops, output, weight.requires_grad)

    def _add(self, units: float, output: Tensor, trained: bool) -> None:
        """Counts a forward pass, and its backward pass when a gradient reaches its output."""
        self.forward += units
        if output.requires_grad:

            def count_backward(gradient: Tensor) -> None:
                self.backward += 2 * units if trained else units

            output.register_hook(count_backward)
