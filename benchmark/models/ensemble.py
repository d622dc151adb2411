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
    """The concatenation of the members' unit vectors, divided by the root of their number.

    So the cosine similarity of two images is the mean of the members' similarities. The members' spaces are
    not aligned with each other: an average of their vectors would mean nothing.

    Args:
        members: the models; each embeds in a space of its own.
    """

    def __init__(self, members: Sequence[Member]) -> None:
        super().__init__()
        self.models = nn.ModuleList(members)

        self.randomised = any(member.randomised for member in members)

    def differentiable(self) -> Embedder:
        """The ensemble of the members' stand-ins, or itself when none declares one."""
        stand_ins = [member.differentiable() for member in self.members]
        if all(stand_in is member for stand_in, member in zip(stand_ins, self.members, strict=True)):
            return self
        return Ensemble(cast("Sequence[Member]", stand_ins))

    @property
    def members(self) -> Sequence[Member]:
        """The members, in order."""
        return cast("Sequence[Member]", list(self.models))

    def forward(self, images: Tensor) -> Tensor:
        """Embeds images, shape (n, C, H, W) in [0, 1], as unit vectors, shape (n, members * d)."""
        return torch.cat([member(images) for member in self.members], dim=1) / math.sqrt(len(self.models))
