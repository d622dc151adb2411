"""Training without a defense."""

from __future__ import annotations

from typing import cast

from torch import Tensor

from benchmark.core.embedder import Embedder
from benchmark.models import Member
from defenses.base import DEFENSES, Batch, Defense, InnerMaximiser


@DEFENSES.register("vanilla")
class Vanilla(Defense):
    """Training on clean images without a defense: minimizes L(f(x), y)."""

    def loss(self, model: Embedder, batch: Batch, attack: InnerMaximiser) -> Tensor:
        """Computes the loss on the clean batch."""
        member = cast("Member", model)
        return member.loss(member(batch.images), batch.labels)
