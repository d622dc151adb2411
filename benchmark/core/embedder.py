"""The interface through which attacks and metrics see a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn


class Embedder(nn.Module):
    """Maps images in [0, 1], shape (n, C, H, W), to unit vectors, shape (n, d).

    Subclasses implement `forward`. Any preprocessing (mean and standard deviation, say) happens inside.

    Attributes:
        randomised: whether two forward passes of one batch may differ; attacks then average gradients over
            EOT samples, and scores are means over repeats.
        gradients: whether gradients may reach the images.
        only_parts: names of the attributes that hold the only modules that `forward` runs, where all else
            that it does is free of FLOPs; not inherited, and not set by default: FLOPs are then traced.
    """

    randomised: bool = False
    gradients: bool = True
    only_parts: ClassVar[tuple[str, ...]]

    def forward(self, images: Tensor) -> Tensor:
        """Embed images, shape (n, C, H, W) in [0, 1], as unit vectors, shape (n, d)."""
        raise NotImplementedError

    def differentiable(self) -> Embedder:
        """Return the model that gradients are taken through (BPDA); by default the model itself."""
        return self

    @property
    def has_stand_in(self) -> bool:
        """Whether gradients are a stand-in's (BPDA), not the slopes of `forward`.

        Override it where `forward` itself holds one, as a rounding with the identity's gradient.
        """
        return self.differentiable() is not self

    def settle(self, images: Tensor) -> list[str]:
        """Check the model on a first batch of images, where that is needed before it can be evaluated.

        Args:
            images: in [0, 1], shape (n, C, H, W), on the model's device.

        Returns:
            What a reader of its scores must know, a clause each.
        """
        return []

    @property
    def members(self) -> Sequence[Embedder]:
        """The models that an ensemble consists of; a single model is its own only member."""
        return [self]
