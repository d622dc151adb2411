"""Mixing of hidden activations, and mixing with stored images, for the variants of mixup."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from benchmark.core.embedder import Embedder
from benchmark.models import Member, frozen
from defenses.stored import Stored

Mix = Callable[[Tensor], Tensor]
"""Mixes the rows of a batch, shape (n, ...), with each other."""


def hidden_layers(member: Member, image: Tensor) -> list[nn.Module]:
    """Lists the layers of a member's network whose activations can be mixed, in the order of execution.

    They are the direct children of the network (the layers of an `nn.Sequential`, the stages of a ResNet, the
    list of blocks of a transformer as one) whose output has at least three dimensions, so that pooled feature
    vectors are left out. Convolutions and batch norms that are direct children are left out too: mixing the
    output of a linear map is the same as mixing its input.

    Args:
        member: the member; one forward pass is made in evaluation mode, which changes nothing in it.
        image: shape (1, C, H, W).
    """
    network: nn.Module = member.embedder
    while len(children := list(network.children())) == 1:  # unwraps
        network = children[0]
    found: list[nn.Module] = []

    def record(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if isinstance(output, Tensor) and output.dim() >= 3 and module not in found:
            found.append(module)

    handles = [
        child.register_forward_hook(record)
        for child in children
        if not isinstance(child, _ConvNd | _BatchNorm)
    ]
    try:
        with torch.no_grad(), frozen(member):
            member(image)
    finally:
        for handle in handles:
            handle.remove()
    return found


@contextmanager
def mixed_at(layer: nn.Module, mix: Mix) -> Iterator[None]:
    """Mixes the output of a layer in every forward pass within the block."""
    handle = layer.register_forward_hook(lambda module, inputs, output: mix(output))
    try:
        yield
    finally:
        handle.remove()


class MixedWithStored(Stored, Embedder):
    """Averages the embeddings of mixes of an image with stored images, drawn again in each forward pass.

    The mean of the unit vectors is scaled to unit length. Partners are drawn separately for each image. As
    long as no image is stored, the partners are uniform noise.

    Args:
        member: embeds the mixes.
        mixes: number of mixes of each image.
        weight: weight of the image in a mix, in (0, 1].
        capacity: maximum number of stored images.

    Attributes:
        stored: training images, shape (at most `capacity`, C, H, W); part of the checkpoint.
    """

    randomised = True

    def __init__(self, member: Member, mixes: int, weight: float, capacity: int) -> None:
        super().__init__()
        self.member = member
        self.mixes = mixes
        self.weight = weight
        self.capacity = capacity

    @property
    def members(self) -> Sequence[Embedder]:
        """The one member that embeds the mixes."""
        return [self.member]

    def forward(self, images: Tensor) -> Tensor:
        """Embeds images, shape (n, C, H, W) in [0, 1], as unit vectors, shape (n, d)."""
        total: Tensor | float = 0.0
        for _ in range(self.mixes):
            total = total + self.member(self.weight * images + (1 - self.weight) * self._partners(images))
        return F.normalize(torch.as_tensor(total))

    def _partners(self, images: Tensor) -> Tensor:
        # Drawn on the CPU, so that a run on a GPU gets the same mixes.
        if not len(self.stored):
            return torch.rand(images.shape).to(images.device)
        return self.stored[torch.randint(len(self.stored), (len(images),)).to(self.stored.device)]
