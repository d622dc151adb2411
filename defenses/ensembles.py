"""Plain ensembles: the controls of the methods that train several members."""

from __future__ import annotations

from typing import cast

from pydantic import Field
from torch import Tensor

from benchmark.core.embedder import Embedder
from benchmark.models import Ensemble
from defenses.base import DEFENSES, Batch, Defense, InnerMaximiser, MemberFactory
from defenses.pgd_at import PGDAT
from defenses.vanilla import Vanilla


@DEFENSES.register("ensemble")
class PlainEnsemble(Defense):
    """An ensemble of vanilla models (Lakshminarayanan et al. 2017, arXiv 1612.01474): the control of ADP.

    Minimizes the sum over members k of L(f_k(x), y), each with its own initialization and proxies. Adapted:
    classifiers average predictions, here embeddings are concatenated, which averages cosine similarities;
    members see the same batches, and the adversarial training that the original adds is left out.

    Attributes:
        members: number of members.
    """

    members: int = Field(default=3, ge=1, le=10)

    def build(self, make_member: MemberFactory, labels: Tensor) -> Ensemble:
        """Builds an ensemble of plain members."""
        return Ensemble([make_member() for _ in range(self.members)])

    def loss(self, model: Embedder, batch: Batch, attack: InnerMaximiser) -> Tensor:
        """Computes the sum of the members' losses on the clean batch."""
        total = batch.images.new_zeros(())
        for member in cast("Ensemble", model).members:
            total = total + Vanilla().loss(member, batch, attack)
        return total


@DEFENSES.register("ensemble_at")
class EnsembleAT(PlainEnsemble):
    """An ensemble of `pgd_at` models (Madry et al. 2018, arXiv 1706.06083, eq. 2.1): the control of EAT.

    Minimizes the sum over members k of L(f_k(x_k'), y) with x_k' = argmax over the ball of L(f_k(x'), y).
    Every member trains on the whole batch and on its own adversarial images: there is no split of the data
    and no transfer, and each step is that of `eat[split=none,transfer=self]`.

    Attributes:
        members: number of members.
    """

    def loss(self, model: Embedder, batch: Batch, attack: InnerMaximiser) -> Tensor:
        """Computes the sum of the members' losses, each on its own adversarial images."""
        total = batch.images.new_zeros(())
        for member in cast("Ensemble", model).members:
            total = total + PGDAT().loss(member, batch, attack)
        return total
