"""Embedding-shifted training."""

from __future__ import annotations

from typing import cast

from torch import Tensor

from benchmark.core.embedder import Embedder
from benchmark.models import Member
from defenses.base import DEFENSES, Batch, Defense, InnerMaximiser
from defenses.triplets import distances, embed


@DEFENSES.register("est")
class EST(Defense):
    """Embedding-shifted triplet (Zhou et al. 2020, arXiv 2002.11293, section on the defense).

    Every image of the batch is replaced by x' = argmax over the ball of d(f(x'), f(x)), d the Euclidean
    distance of unit vectors, and the model trains on these alone. The labels take no part in the attack. The
    paper's loss on them was the triplet loss; its authors call the defense generic to the loss, so here it is
    the cell's own. Adapted: the attack is the benchmark's, with a random start (at x itself the gradient of
    the distance is 0).
    """

    def loss(self, model: Embedder, batch: Batch, attack: InnerMaximiser) -> Tensor:
        """The loss on images whose embeddings are shifted as far as the attack can."""
        member = cast("Member", model)
        origin = embed(member, batch.images)
        shifted = attack(lambda images: distances(member(images), origin), batch.images, member)
        return member.loss(member(shifted), batch.labels)
