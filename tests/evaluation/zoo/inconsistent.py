"""Broken defenses that are not the same for attacks as for scores, or promise a gradient they do not have.

Each wraps a defense that was trained honestly. `INCONSISTENT` lists with each the checks that must fail.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

import attacks
from benchmark.core.embedder import Embedder

from .conftest import Broken, Saturated, Setting

ATTACKS = str(Path(attacks.__file__).parent)


class _FlippedSigns(torch.autograd.Function):
    """The identity, whose gradient has the wrong sign at a fifth of the pixels."""

    @staticmethod
    def forward(ctx, images):
        return images.clone()

    @staticmethod
    def backward(ctx, gradient):
        draws = torch.rand(gradient.shape, generator=torch.Generator().manual_seed(0))
        return gradient * torch.where(draws < 0.2, -1.0, 1.0)


class WrongSigns(Broken):
    """20 % of the gradient's signs are wrong, at the same pixels each time."""

    def transform(self, images: Tensor) -> Tensor:
        return _FlippedSigns.apply(images)


class Ascending(Broken):
    """The gradient has the opposite sign, so that attacks descend."""

    def transform(self, images: Tensor) -> Tensor:
        return 2 * images.detach() - images


class Leaking(Saturated):
    """A gradient of 1e-9 in random directions, under a saturated output, so that none is exactly zero."""

    def forward(self, images: Tensor) -> Tensor:
        code = super().forward(images)
        pixels = images.flatten(1)
        planes = torch.randn(pixels.shape[1], code.shape[1], generator=torch.Generator().manual_seed(1))
        return code + 1e-9 * (pixels - pixels.detach()) @ planes


class ByBatch(Broken):
    """Embeds leaf tensors in batches as small as those of attacks otherwise, by the mirrored image."""

    def transform(self, images: Tensor) -> Tensor:
        attacked = images.is_leaf and images.requires_grad and len(images) <= self.setting.batch_size
        return images.flip(-1) if attacked else images


class ByCaller(Broken):
    """Embeds images otherwise for whoever attacks, as the interpreter's frames tell."""

    def transform(self, images: Tensor) -> Tensor:
        frame = sys._getframe()
        while frame is not None and not frame.f_code.co_filename.startswith(ATTACKS):
            frame = frame.f_back
        return images if frame is None else images.flip(-1)


Build = Callable[[Embedder, Setting], Embedder]

INCONSISTENT: dict[str, tuple[Build, set[str]]] = {
    "wrong_signs": (WrongSigns, {"wrong_gradient"}),
    "ascending": (Ascending, {"wrong_gradient", "black_box_beats_white_box", "unbounded"}),
    "leaking": (Leaking, {"zero_gradient", "wrong_gradient"}),
    "by_batch": (ByBatch, {"objective_disagrees"}),
    "by_caller": (ByCaller, {"objective_disagrees"}),
}
"""Each broken defense by name, with the checks that must fail."""
