"""Broken defenses: each looks robust for a reason that is not robustness, and a check must say so.

They are embedders around a trained one, put on after training: nothing here makes a model any harder to fool,
only harder to attack. `ZOO` names with each the checks that must fail it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmark.core.embedder import Embedder


@dataclass(frozen=True)
class Setting:
    """What a broken defense may know, and an honest one would not use.

    Attributes:
        images: the clean test pool, in [0, 1], shape (n, C, H, W).
        eps: the L_inf radius that it expects.
    """

    images: Tensor
    eps: float


class Broken(Embedder):
    """Wraps a trained embedder."""

    def __init__(self, inner: Embedder, setting: Setting) -> None:
        super().__init__()
        self.inner = inner
        self.setting = setting
        self.calls = 0

    def forward(self, images: Tensor) -> Tensor:
        return self.inner(self.transform(images))

    def transform(self, images: Tensor) -> Tensor:
        return images

    def nearest(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The nearest clean image of each, and the L_inf distance to it."""
        distance = torch.cdist(images.detach().flatten(1), self.setting.images.flatten(1), p=float("inf"))
        closest, index = distance.min(1)
        return self.setting.images[index], closest


class Quantised(Broken):
    """Shattered gradients: pixels are rounded, and no stand-in is declared."""

    def transform(self, images: Tensor) -> Tensor:
        return (images * 8).round() / 8


class Rippled(Broken):
    """Shattered gradients that are not zero: a ripple too small to see drowns them."""

    def transform(self, images: Tensor) -> Tensor:
        return images + 0.02 * torch.sin(5000 * images)


class Detached(Broken):
    """Not differentiable: the transform leaves torch's graph, as a call of numpy or of a codec does."""

    def transform(self, images: Tensor) -> Tensor:
        pixels = images.detach().cpu().numpy()
        return torch.from_numpy(pixels**0.9).to(images.device)


class Saturated(Broken):
    """Vanishing gradients: the embedding is pressed into a code of plus and minus ones."""

    def forward(self, images: Tensor) -> Tensor:
        embeddings = self.inner(images)
        generator = torch.Generator().manual_seed(0)
        planes = torch.randn(embeddings.shape[1], 64, generator=generator)
        return F.normalize(torch.tanh(1e5 * embeddings @ planes))


class Noisy(Broken):
    """Randomised without saying so, so that nothing averages over its draws."""

    def transform(self, images: Tensor) -> Tensor:
        return images + 0.1 * torch.randn_like(images)


class Detecting(Broken):
    """Answers attackers otherwise than users: it looks whether its input requires a gradient."""

    def transform(self, images: Tensor) -> Tensor:
        return 1 - images if images.requires_grad else images


class Constant(Broken):
    """Nothing moves it: all images have the same embedding."""

    def forward(self, images: Tensor) -> Tensor:
        return F.normalize(torch.ones_like(self.inner(images)) + 0 * images.sum())


class Overfitted(Broken):
    """Robust at one radius alone: what lies there is taken back to the clean image that it came from."""

    def transform(self, images: Tensor) -> Tensor:
        clean, distance = self.nearest(images)
        there = ((distance - self.setting.eps).abs() < 1e-3).view(-1, 1, 1, 1)
        return torch.where(there, clean + 0 * images, images)


class OffTheGrid(Broken):
    """Lets gradients through only for images whose pixels are whole 255ths: clean ones, before any step."""

    def transform(self, images: Tensor) -> Tensor:
        off = (images * 255 - (images * 255).round()).abs().flatten(1).amax(1) > 1e-2
        return torch.where(off.view(-1, 1, 1, 1), images.detach(), images)


class Outlasting(Broken):
    """Lets no gradient through before 20 passes in a row have asked for one, so 20 steps are not enough."""

    def transform(self, images: Tensor) -> Tensor:
        self.calls = self.calls + 1 if images.requires_grad else 0
        return images if self.calls > 20 else images.detach()


class Ageing(Broken):
    """Has a state: it answers the same image otherwise each time it comes."""

    def transform(self, images: Tensor) -> Tensor:
        self.calls += 1
        return images.roll(self.calls % 3, dims=-1)


ZOO: dict[str, tuple[Callable[[Embedder, Setting], Embedder], set[str]]] = {
    "quantised": (Quantised, {"zero_gradient", "transfer_beats_white_box", "unbounded"}),
    "rippled": (Rippled, {"black_box_beats_white_box", "transfer_beats_white_box", "unbounded"}),
    "detached": (Detached, {"zero_gradient", "transfer_beats_white_box", "unbounded"}),
    "saturated": (Saturated, {"zero_gradient", "transfer_beats_white_box", "unbounded"}),
    "noisy": (Noisy, {"randomised"}),
    "detecting": (Detecting, {"rescored", "transfer_beats_white_box", "unbounded"}),
    "constant": (Constant, {"collapsed"}),
    "overfitted": (Overfitted, {"not_monotone"}),
    "off_the_grid": (OffTheGrid, {"one_step_beats_many", "zero_gradient"}),
    "outlasting": (Outlasting, {"not_converged", "zero_gradient"}),
    "ageing": (Ageing, {"randomised"}),
}
"""Each broken defense, and the checks that must fail it."""
