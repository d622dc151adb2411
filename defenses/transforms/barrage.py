"""A barrage of random transforms."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import PositiveInt, model_validator
from torch import Tensor

from benchmark.core.parameters import Parameters
from defenses.transforms.base import TRANSFORMS, Transform


@TRANSFORMS.register("barrage")
class Barrage(Transform):
    """A random number of transforms in random order (Raff et al. 2019, CVPR, section 3: BaRT).

    For each image the number of transforms is drawn uniformly, then a subset of that size and its order. The
    original draws from 25 transforms in 10 groups and at most one of each group; here most of its kinds that
    small gray images allow are present once: color precision, JPEG, noise, blur, TV denoising, tone (gamma,
    contrast), zoom and shift. Color spaces, seam carving, swirls and frequency noise are left out. Transforms
    that are not differentiable always have the identity's gradient (BPDA), in attacks and outside of them, so
    the values and the gradients of a forward pass belong to the same draws. The right number of transforms
    for images as small as these is not known.

    Attributes:
        least, most: bounds of the number of transforms, both included.
        drawn: specs of the transforms to draw from.
    """

    randomised: ClassVar[bool] = True
    drawn: ClassVar[tuple[str, ...]] = (
        "bit_depth[bits=5]",
        "jpeg",
        "noise",
        "blur",
        "total_variation[dropout=0.2,steps=5]",
        "gamma",
        "contrast",
        "resize_pad",
        "translate",
    )

    least: PositiveInt = 1
    most: PositiveInt = 5

    @model_validator(mode="after")
    def _ordered(self) -> Barrage:
        if not self.least <= self.most <= len(self.drawn):
            raise ValueError(
                f"least={self.least} and most={self.most} must satisfy least <= most <= {len(self.drawn)}"
            )
        return self

    @property
    def has_stand_in(self) -> bool:
        """Whether one of the transforms that it draws from has one."""
        return any(transform.has_stand_in for transform in self._transforms())

    def parts(self) -> list[Parameters]:
        """The barrage and the transforms that it draws from."""
        return [self, *(part for transform in self._transforms() for part in transform.parts())]

    def apply(self, images: Tensor) -> Tensor:
        """Applies to each image, shape (n, C, H, W) in [0, 1], its own transforms in its own order."""
        transforms = self._transforms()
        counts = torch.randint(self.least, self.most + 1, (len(images), 1))
        orders = torch.rand(len(images), len(transforms)).argsort(1)[:, : self.most]
        orders[torch.arange(self.most) >= counts] = -1
        for position in range(self.most):
            changed = images
            for number, transform in enumerate(transforms):
                rows = (orders[:, position] == number).nonzero().squeeze(1)
                if len(rows):
                    rows = rows.to(images.device)
                    changed = changed.index_copy(0, rows, transform.straight_through(images[rows]))
            images = changed
        return images

    def _transforms(self) -> list[Transform]:
        return [TRANSFORMS.build(text) for text in self.drawn]
