"""The base class of image transforms, and their registry."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, ClassVar

import torch
from pydantic import AfterValidator
from torch import Tensor, nn

from benchmark.core.parameters import Parameters
from benchmark.core.registry import Registry


class Transform(Parameters):
    """A map from images in [0, 1] to images in [0, 1] of the same shape; subclasses implement `apply`.

    Random numbers are drawn on the CPU with torch's global generator, separately for each image of a batch,
    so that a seed gives the same draws on any device.

    Attributes:
        randomised: whether two calls with the same batch may differ.
        differentiable: whether `apply` has a gradient that an attack can use. If not, attacks take the
            identity's (BPDA; Athalye et al. 2018, arXiv 1802.00420, section 4.1), or that of `stand_in`.
        stand_in: whose gradient attacks take if it is not differentiable, in a word.
    """

    randomised: ClassVar[bool] = False
    differentiable: ClassVar[bool] = True
    stand_in: ClassVar[str] = "identity"

    @property
    def has_stand_in(self) -> bool:
        """Whether attacks' gradients are not those of `apply`; override it where `apply` holds a stand-in."""
        return not self.differentiable

    def apply(self, images: Tensor) -> Tensor:
        """Transforms images in [0, 1], shape (n, C, H, W), to images of the same shape and range."""
        raise NotImplementedError

    def applied(self) -> Applied:
        """Builds the part of a model that applies the transform; it holds what the transform keeps."""
        return Applied(self)

    def straight_through(self, images: Tensor) -> Tensor:
        """Applies the transform, with the identity's gradient if it is not differentiable.

        Args:
            images: shape (n, C, H, W) in [0, 1].
        """
        return self.apply(images) if self.differentiable else with_identity_gradient(self.apply, images)


class Applied(nn.Module):
    """A transform as part of a model. One that uses training images keeps them here, in buffers.

    Args:
        transform: the transform.
    """

    def __init__(self, transform: Transform) -> None:
        super().__init__()
        self.transform = transform

    def learn(self, images: Tensor) -> None:
        """Takes from a batch of clean training images, shape (n, C, H, W), what is kept; nothing by default.

        Called once in each training step, before the batch is transformed.
        """

    def forward(self, images: Tensor) -> Tensor:
        """Transforms images in [0, 1], shape (n, C, H, W), to images of the same shape and range."""
        return self.transform.apply(images)

    def straight_through(self, images: Tensor) -> Tensor:
        """Does the same, with the gradient of a stand-in, by default the identity's (BPDA)."""
        return with_identity_gradient(self, images)


def with_identity_gradient(function: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """Applies a function to images, with the identity's gradient.

    Args:
        function: maps images to images of the same shape.
        images: shape (n, C, H, W).
    """
    with torch.no_grad():
        transformed = function(images)
    return transformed + (images - images.detach())


TRANSFORMS: Registry[Transform] = Registry("transform", Transform)

TransformSpec = Annotated[str, AfterValidator(TRANSFORMS.canonical)]
"""The spec string of a transform, as a parameter of a defense: `jpeg` or `jpeg[quality=50]`."""


def uniform(images: Tensor, low: float, high: float) -> Tensor:
    """Draws one number for each image uniformly between two bounds, shape (n, 1, 1, 1)."""
    drawn = low + (high - low) * torch.rand(len(images), 1, 1, 1)
    return drawn.to(images)
