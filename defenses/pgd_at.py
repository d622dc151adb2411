"""Adversarial training."""

from __future__ import annotations

from typing import cast

from torch import Tensor

from benchmark.core.embedder import Embedder
from benchmark.models import Member
from defenses.base import DEFENSES, Batch, Defense, InnerMaximiser


@DEFENSES.register("pgd_at")
class PGDAT(Defense):
    """Adversarial training with PGD (Madry et al. 2018, arXiv 1706.06083, eq. 2.1).

    Minimises L(f(x'), y) with x' = argmax over the ball of L(f(x'), y). Adapted to metric learning by putting
    the metric loss of the batch in the place of cross-entropy, in both problems; labels and proxies are held
    fixed during the inner one.
    """

    def loss(self, model: Embedder, batch: Batch, attack: InnerMaximiser) -> Tensor:
        """The loss on the batch's worst-case images."""
        member = cast("Member", model)
        adversarial = attack(lambda images: member.loss(member(images), batch.labels), batch.images, member)
        return member.loss(member(adversarial), batch.labels)
