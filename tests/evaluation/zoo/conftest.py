"""A zoo of broken defenses: each looks robust for a reason other than robustness, and a check must fail.

Each wraps a trained embedder after training, which makes the model harder to attack without making it more
robust. `ZOO` lists with each the checks that must fail.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmark.core.embedder import Embedder


@dataclass(frozen=True)
class Setting:
    """What a broken defense may use, unlike an honest one.

    Attributes:
        images: the clean test pool, in [0, 1], shape (n, C, H, W).
        eps: the L_inf radius of the attacks that it expects.
        batch_size: images in one step of an attack.
    """

    images: Tensor
    eps: float
    batch_size: int = 0


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
        """The nearest clean image of each image, and the L_inf distance to it."""
        distance = torch.cdist(images.detach().flatten(1), self.setting.images.flatten(1), p=float("inf"))
        closest, index = distance.min(1)
        return self.setting.images[index], closest


class Quantised(Broken):
    """Shattered gradients: pixels are rounded, and no stand-in is declared."""

    def transform(self, images: Tensor) -> Tensor:
        return (images * 8).round() / 8


class Rippled(Broken):
    """Shattered gradients that are not zero: an invisible ripple dominates them."""

    def transform(self, images: Tensor) -> Tensor:
        return images + 0.02 * torch.sin(5000 * images)


class Detached(Broken):
    """Not differentiable: the transform leaves torch's graph, as NumPy or a codec does."""

    def transform(self, images: Tensor) -> Tensor:
        pixels = images.detach().cpu().numpy()
        return torch.from_numpy(pixels**0.9).to(images.device)


class Saturated(Broken):
    """Vanishing gradients: the embedding saturates at a code of plus and minus ones."""

    def forward(self, images: Tensor) -> Tensor:
        embeddings = self.inner(images)
        generator = torch.Generator().manual_seed(0)
        planes = torch.randn(embeddings.shape[1], 64, generator=generator)
        return F.normalize(torch.tanh(1e5 * embeddings @ planes))


class Noisy(Broken):
    """Randomised without declaring it, so that attacks use a single EOT sample."""

    def transform(self, images: Tensor) -> Tensor:
        return images + 0.1 * torch.randn_like(images)


class Detecting(Broken):
    """Embeds attackers' images differently from users', by whether the input requires a gradient."""

    def transform(self, images: Tensor) -> Tensor:
        return 1 - images if images.requires_grad else images


class Constant(Broken):
    """Constant: all images have the same embedding."""

    def forward(self, images: Tensor) -> Tensor:
        return F.normalize(torch.ones_like(self.inner(images)) + 0 * images.sum())


class Overfitted(Broken):
    """Robust at one radius: images at that distance are replaced by their clean image."""

    def transform(self, images: Tensor) -> Tensor:
        clean, distance = self.nearest(images)
        at_radius = ((distance - self.setting.eps).abs() < 1e-3).view(-1, 1, 1, 1)
        return torch.where(at_radius, clean + 0 * images, images)


class OffTheGrid(Broken):
    """Lets gradients through only for images whose pixels are whole 255ths, as clean images are."""

    def transform(self, images: Tensor) -> Tensor:
        off = (images * 255 - (images * 255).round()).abs().flatten(1).amax(1) > 1e-2
        return torch.where(off.view(-1, 1, 1, 1), images.detach(), images)


class Outlasting(Broken):
    """Lets gradients through after 20 forward passes that require one, so that 20 steps are too few."""

    def transform(self, images: Tensor) -> Tensor:
        self.calls = self.calls + 1 if images.requires_grad else 0
        return images if self.calls > 20 else images.detach()


class Ageing(Broken):
    """Stateful: embeds the same image differently in each call."""

    def transform(self, images: Tensor) -> Tensor:
        self.calls += 1
        return images.roll(self.calls % 3, dims=-1)


ZOO: dict[str, tuple[Callable[[Embedder, Setting], Embedder], set[str]]] = {
    "quantised": (Quantised, {"zero_gradient", "transfer_beats_white_box", "unbounded"}),
    "rippled": (Rippled, {"black_box_beats_white_box", "transfer_beats_white_box", "unbounded"}),
    "detached": (Detached, {"zero_gradient", "transfer_beats_white_box", "unbounded"}),
    "saturated": (Saturated, {"zero_gradient", "transfer_beats_white_box", "unbounded"}),
    "noisy": (Noisy, {"randomised"}),
    "detecting": (Detecting, {"rescored"}),
    "constant": (Constant, {"collapsed"}),
    "overfitted": (Overfitted, {"not_monotone"}),
    "off_the_grid": (OffTheGrid, {"one_step_beats_many", "zero_gradient"}),
    "outlasting": (Outlasting, {"not_converged", "zero_gradient"}),
    "ageing": (Ageing, {"randomised"}),
}
"""Each broken defense by name, with the checks that must fail."""

from .one_path import ONE_PATH  # noqa: E402 (its classes derive from the one above)

ZOO |= ONE_PATH


@pytest.fixture(params=ZOO)
def broken(request):
    """A broken defense and the checks that must fail."""
    return ZOO[request.param]


@pytest.fixture(scope="session")
def make_setting():
    return Setting
