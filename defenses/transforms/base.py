"""The base class of image transforms, and their registry."""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from pydantic import AfterValidator
from torch import Tensor

from benchmark.core.parameters import Parameters
from benchmark.core.registry import Registry


class Transform(Parameters):
    """A map from images in [0, 1] to images in [0, 1] of the same shape; subclasses implement `apply`.

    Random numbers are drawn on the CPU with torch's global generator, separately for each image of a batch,
    so that a seed gives the same draws on any device.

    Attributes:
        randomised: whether two calls with the same batch may differ.
        differentiable: whether `apply` has a gradient that an attack can use. If not, attacks take the
            identity's (BPDA; Athalye et al. 2018, arXiv 1802.00420, section 4.1).
    """

    randomised: ClassVar[bool] = False
    differentiable: ClassVar[bool] = True

    @property
    def has_stand_in(self) -> bool:
        """Whether attacks' gradients are not those of `apply`; override it where `apply` holds a stand-in."""
        return not self.differentiable

    def apply(self, images: Tensor) -> Tensor:
        """Transforms images in [0, 1], shape (n, C, H, W), to images of the same shape and range."""
        raise NotImplementedError

    def straight_through(self, images: Tensor) -> Tensor:
        """Applies the transform, with the identity's gradient if it is not differentiable.

        Args:
            images: shape (n, C, H, W) in [0, 1].
        """
        if self.differentiable:
            return self.apply(images)
        with torch.no_grad():
            transformed = self.apply(images)
        return transformed + (images - images.detach())


TRANSFORMS: Registry[Transform] = Registry("transform", Transform)

TransformSpec = Annotated[str, AfterValidator(TRANSFORMS.canonical)]
"""The spec string of a transform, as a parameter of a defense: `jpeg` or `jpeg[quality=50]`."""


def uniform(images: Tensor, low: float, high: float) -> Tensor:
    """Draws one number for each image uniformly between two bounds, shape (n, 1, 1, 1)."""
    drawn = low + (high - low) * torch.rand(len(images), 1, 1, 1)
    return drawn.to(images)
