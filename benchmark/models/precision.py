"""The precision of a model's computation and of its embeddings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from benchmark.core.embedder import Embedder
from benchmark.core.tensor_float import tensor_float
from benchmark.models.frozen import frozen


@contextmanager
def whole_float32() -> Iterator[None]:
    """Switch off TF32, which rounds the inputs of a GPU's convolutions to 10 bits instead of 23."""
    with tensor_float(False):
        yield


class InFloat32(Embedder):
    """Turns the embeddings of a model into float32; gradients pass.

    Args:
        model: embeds in another floating-point type.
        precision: that type.
    """

    def __init__(self, model: Embedder, precision: torch.dtype) -> None:
        super().__init__()
        self.model = model
        self.precision = precision
        self.randomised, self.gradients = model.randomised, model.gradients

    @property
    def members(self) -> Sequence[Embedder]:
        """The members of the model, in float32."""
        if list(self.model.members) == [self.model]:
            return [self]
        return [InFloat32(member, self.precision) for member in self.model.members]

    def differentiable(self) -> Embedder:
        """Return the model's own stand-in, in float32, or this model where it is its own."""
        stand_in = self.model.differentiable()
        return self if stand_in is self.model else InFloat32(stand_in, self.precision)

    @property
    def has_stand_in(self) -> bool:
        """Whether the model has one."""
        return self.model.has_stand_in

    def forward(self, images: Tensor) -> Tensor:
        """Embed images, shape (n, C, H, W) in [0, 1], as float32 unit vectors, shape (n, d)."""
        embeddings: Tensor = self.model(images).float()
        return embeddings


def in_float32(model: Embedder, images: Tensor) -> Embedder:
    """Return a model whose embeddings are float32: the model itself where they are.

    The model and torch's global generators are left as they were. What is no floating-point tensor is left as
    it is.

    Args:
        model: the model, in any mode.
        images: images to look at, shape (n, C, H, W) in [0, 1], on the model's device.
    """
    devices = [images.device] if images.device.type == "cuda" else []
    with torch.random.fork_rng(devices), frozen(model), torch.no_grad():
        embeddings = model(images)
    if not isinstance(embeddings, Tensor) or not embeddings.is_floating_point():
        return model
    return model if embeddings.dtype == torch.float32 else InFloat32(model, embeddings.dtype)
