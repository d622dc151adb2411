"""Several members as one embedder."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from benchmark.core.embedder import Embedder
from benchmark.models.member import Member


class Ensemble(Embedder):
    """Concatenates the members' unit vectors and divides them by the square root of their number.

    The cosine similarity of two images is then the mean of the members' similarities. The members' embedding
    spaces are not aligned with each other, so an average of their vectors would be meaningless.

    Args:
        members: the models; each has an embedding space of its own.
    """

    def __init__(self, members: Sequence[Member]) -> None:
        super().__init__()
        self.models = nn.ModuleList(members)
        self.randomised = any(member.randomised for member in members)

    def differentiable(self) -> Embedder:
        """Return the ensemble of the members' differentiable models, or itself when each is its own."""
        models = [member.differentiable() for member in self.members]
        if all(model is member for model, member in zip(models, self.members, strict=True)):
            return self
        return Ensemble(cast("Sequence[Member]", models))

    @property
    def has_stand_in(self) -> bool:
        """Whether a member has one."""
        return any(member.has_stand_in for member in self.members)

    @property
    def members(self) -> Sequence[Member]:
        """The members, in order."""
        return cast("Sequence[Member]", list(self.models))

    def forward(self, images: Tensor) -> Tensor:
        """Embed images, shape (n, C, H, W) in [0, 1], as unit vectors, shape (n, members * d)."""
        return torch.cat([member(images) for member in self.members], dim=1) / math.sqrt(len(self.models))
