"""A tiny pool and tiny models, for the checks of attacks, objectives and scenarios."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from attacks import Problem
from benchmark.core.embedder import Embedder
from benchmark.core.seeding import seed_everything
from benchmark.losses import LOSSES
from benchmark.models import BACKBONES, Member

CLASSES = 6
PER_CLASS = 4
GRAY = (1, 8, 8)
COLOR = (3, 10, 12)
EPS = {"linf": 0.1, "l2": 0.5, "l0": 5.0}
DIM = 8


class Noisy(Embedder):
    """A randomised model: it adds noise to its input.

    Args:
        member: the model around which it is built.
    """

    randomised = True

    def __init__(self, member: Embedder) -> None:
        super().__init__()
        self.member = member

    def forward(self, images: Tensor) -> Tensor:
        """Embeds noisy images."""
        return self.member(images + 0.02 * torch.randn_like(images))


class WithoutGradient(Embedder):
    """A model that lets no gradient through, as one that is only called does.

    Args:
        member: the model whose embeddings it returns.
    """

    def __init__(self, member: Embedder) -> None:
        super().__init__()
        self.member = member

    def forward(self, images: Tensor) -> Tensor:
        """Embeds images without a graph."""
        with torch.no_grad():
            return self.member(images)


@dataclass(frozen=True)
class Pool:
    """Images of a few classes, noise around one prototype for each.

    Attributes:
        shape: (C, H, W) of the images.
    """

    shape: tuple[int, int, int] = GRAY

    @property
    def labels(self) -> Tensor:
        """Classes, shape (n,)."""
        return torch.arange(CLASSES).repeat_interleave(PER_CLASS)

    @property
    def ids(self) -> Tensor:
        """Ids of the images, shape (n,)."""
        return torch.arange(CLASSES * PER_CLASS) + 100

    @property
    def images(self) -> Tensor:
        """Images in [0, 1], shape (n, C, H, W), in new memory at each access."""
        generator = torch.Generator().manual_seed(0)
        prototypes = torch.rand(CLASSES, *self.shape, generator=generator)
        noise = torch.randn(CLASSES * PER_CLASS, *self.shape, generator=generator)
        return (prototypes[self.labels] + 0.15 * noise).clamp(0, 1)

    @cached_property
    def queries(self) -> Tensor:
        """A mask of images that are queries only: the first of each class, shape (n,)."""
        return torch.arange(CLASSES * PER_CLASS) % PER_CLASS == 0

    def model(self, seed: int = 0) -> Embedder:
        """Builds a model as attacks get one: in evaluation mode, its parameters frozen."""
        seed_everything("conformance-pool", seed)
        backbone = BACKBONES.build(f"smallconv[dim={DIM},width=0.25]")
        model = Member(backbone.build(self.shape), LOSSES.build("proxy_anchor").build(CLASSES, DIM), DIM)
        with torch.no_grad():
            for _ in range(20):  # batch norm's running statistics settle
                model(self.images)
        return model.eval().requires_grad_(False)

    def problem(self, norm: str = "linf", model: Embedder | None = None, **others: Any) -> Problem:
        """Builds the task of attacking the pool.

        Args:
            norm: "linf", "l2" or "l0".
            model: the model that is attacked; that of seed 0 when not given.
            others: further fields of the problem.
        """
        return Problem(
            model or self.model(), self.images, self.labels, self.ids, norm, EPS[norm], eot=2, **others
        )
