"""PGD adversarial training."""

from __future__ import annotations

from typing import cast

from torch import Tensor

from benchmark.core.embedder import Embedder
from benchmark.models import Member
from defenses.base import DEFENSES, Batch, Defense, InnerMaximiser


@DEFENSES.register("pgd_at")
class PGDAT(Defense):
    """Adversarial training with PGD (Madry et al. 2018, arXiv 1706.06083, eq. 2.1).

    Minimizes L(f(x'), y) with x' = argmax over the ball of L(f(x'), y). Adapted to metric learning by
    replacing cross-entropy with the metric loss of the batch, in both the outer and the inner problem; labels
    and proxies are fixed in the inner one.
    """

    def loss(self, model: Embedder, batch: Batch, attack: InnerMaximiser) -> Tensor:
        """Computes the loss on adversarial images of the batch."""
        member = cast("Member", model)
        adversarial = attack(member.loss_of_images, batch.images, member, given=[batch.labels])
        return member.loss(member(adversarial), batch.labels)
