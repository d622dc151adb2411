"""The embedding-shifted triplet defense."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from torch import Tensor

from benchmark.core.embedder import Embedder
from benchmark.models import Member
from defenses.base import DEFENSES, Batch, Defense, InnerMaximiser
from defenses.triplets import distances, embed


@dataclass(frozen=True)
class _Shift:
    """Computes the distances of images' embeddings, shape (n,), from given ones, shape (n, d)."""

    member: Member

    def __call__(self, images: Tensor, clean: Tensor) -> Tensor:
        return distances(self.member(images), clean)


@DEFENSES.register("est")
class EST(Defense):
    """Embedding-shifted triplet (Zhou et al. 2020, arXiv 2002.11293, section on the defense).

    Every image of the batch is replaced by x' = argmax over the ball of d(f(x'), f(x)), where d is the
    Euclidean distance of unit vectors, and the model trains only on these. The attack does not use the
    labels. The paper trains on them with the triplet loss; its authors call the defense generic to the loss,
    so here it is the configured training loss. Adapted: the attack is the benchmark's, with a random start
    (at x itself the gradient of the distance is 0).
    """

    def loss(self, model: Embedder, batch: Batch, attack: InnerMaximiser) -> Tensor:
        """Computes the loss on images whose embeddings the attack has shifted as far as it can."""
        member = cast("Member", model)
        clean = embed(member, batch.images)
        adversarial = attack(_Shift(member), batch.images, member, given=[clean])
        return member.loss(member(adversarial), batch.labels)
