"""What an attack sees of a model, and all that it sees."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn


class Embedder(nn.Module):
    """Maps images in [0, 1], shape (n, C, H, W), to unit vectors, shape (n, d).

    Subclasses implement `forward`. Any preprocessing (mean and standard deviation, say) happens inside.

    Attributes:
        randomised: whether two passes over one batch may differ; attacks then average gradients over passes
            (EOT), and scores are means over passes.
    """

    randomised: bool = False

    def forward(self, images: Tensor) -> Tensor:
        """Embeds images, shape (n, C, H, W) in [0, 1], as unit vectors, shape (n, d)."""
        raise NotImplementedError

    def differentiable(self) -> Embedder:
        """The stand-in that gradients are taken through (BPDA); the model itself unless it overrides this."""
        return self

    @property
    def members(self) -> Sequence[Embedder]:
        """The models that an ensemble is made of; a single model is its own only member."""
        return [self]
