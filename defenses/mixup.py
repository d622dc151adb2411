"""Mixup."""

from __future__ import annotations

from typing import cast

import torch
from pydantic import PositiveFloat
from torch import Tensor

from benchmark.core.embedder import Embedder
from benchmark.models import Member
from defenses.base import DEFENSES, Batch, Defense, InnerMaximiser


@DEFENSES.register("mixup")
class Mixup(Defense):
    """Mixup (Zhang et al. 2018, arXiv 1710.09412, eq. 1).

    Images are mixed in pairs, x = lambda x_a + (1 - lambda) x_b, and the loss is lambda L(f(x), y_a) +
    (1 - lambda) L(f(x), y_b). Adapted: one lambda for the whole batch, because a loss like Proxy Anchor is
    one of the batch and cannot be weighted image by image.

    Attributes:
        alpha: lambda is drawn from Beta(alpha, alpha).
    """

    alpha: PositiveFloat = 1.0

    def loss(self, model: Embedder, batch: Batch, attack: InnerMaximiser) -> Tensor:
        """The loss on the mixed batch."""
        member = cast("Member", model)
        share = float(torch.distributions.Beta(self.alpha, self.alpha).sample())
        partner = torch.randperm(len(batch.labels)).to(batch.labels.device)
        embeddings = member(share * batch.images + (1 - share) * batch.images[partner])
        first = member.loss(embeddings, batch.labels)
        second = member.loss(embeddings, batch.labels[partner])
        return share * first + (1 - share) * second
