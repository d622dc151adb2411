"""CA-TRIDE: triplet adversarial training that attacks the anchor or the candidates in turn."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from pydantic import NonNegativeFloat
from torch import Tensor

from benchmark.core.embedder import Embedder
from benchmark.models import Member
from defenses.base import DEFENSES, Batch, InnerMaximiser, MemberFactory, Range
from defenses.triplets import TripletDefense, Triplets, distances, embed, hardness

UNCOLLAPSED = math.sqrt(2)
"""Distance of two orthogonal unit vectors, as of classes in an embedding that uses its whole space."""


def collapseness(positive: Tensor, negative: Tensor) -> Tensor:
    """Computes the mean of max(0, 1 - d(p, n) / sqrt(2)), in [0, 1]: 1 when all embeddings are one point.

    Args:
        positive: unit vectors of the positives, shape (t, d).
        negative: unit vectors of the negatives, shape (t, d).
    """
    return (1 - distances(positive, negative) / UNCOLLAPSED).clamp(min=0).mean()


@DEFENSES.register("ca_tride")
class CATRIDE(TripletDefense):
    """Collapse-aware triplet decoupling, after CA-TRIDE (Tian et al., ICML 2024, arXiv 2312.07364).

    From the paper: the targets of the perturbation are decoupled. A step perturbs the anchors alone or the
    candidates (positives and negatives) alone, in turn, so that the one adversary does not do what the other
    could undo; and the perturbation of the candidates takes account of the collapse that a strong adversary
    causes, through a measure called collapseness. With H(a, p, n) = d(a, p) - d(a, n):

        anchor step:     a'     = argmax H(a', p, n)
        candidate step:  p', n' = argmax (1 - C) H(a, p', n') + strength C d(p', n')
        collapseness:    C      = mean of max(0, 1 - d(p, n) / sqrt(2)), of the clean candidates

    Both minimize max(0, H + margin) on the perturbed triplets. As C rises, the adversary raises the hardness
    less, and holds positives and negatives apart more.

    A reconstruction from the paper's idea, not its code or its equations. Chosen here are the formula of C
    and the way it enters the objective (a convex combination). The authors' code has another: the difference
    of two means over triplets, of d(a, n) and of d(a, p), each weighted by exp(lambda d), lambda 2 to 10, and
    an attack on the candidates that closes it and ends there. From the paper: the margin of 0.2; from the
    code: the alternation step by step. Adapted as the other triplet defenses here (see `TripletDefense`): the
    training loss is added, triplets are drawn at random, the attack is the benchmark's.

    Attributes:
        strength: weight of the distance between the perturbed candidates; 0 only lets the hardness rise less.
    """

    tunable: ClassVar[Any] = {**TripletDefense.tunable, "strength": Range(0.1, 10.0, log=True)}

    strength: NonNegativeFloat = 1.0

    def build(self, make_member: MemberFactory, labels: Tensor) -> Embedder:
        """Builds one plain member with the number of steps done as a buffer, which a checkpoint keeps."""
        member = make_member()
        member.register_buffer("steps_done", torch.zeros((), dtype=torch.int64))
        return member

    def loss(self, model: Embedder, batch: Batch, attack: InnerMaximiser) -> Tensor:
        """Computes the triplet term and the training loss, then passes the turn to the other target."""
        value = super().loss(model, batch, attack)
        model.get_buffer("steps_done").add_(1)
        return value

    def perturbed(self, member: Member, batch: Batch, rows: Triplets, attack: InnerMaximiser) -> Triplets:
        """Computes triplets with perturbed anchors in even steps, perturbed candidates in odd ones."""
        images = rows.select(batch.images)
        clean = rows.select(embed(member, batch.images))
        # A look at the device; mining has just waited for it.
        if member.get_buffer("steps_done") % 2 == 0:

            def away(anchors: Tensor) -> Tensor:
                return hardness(Triplets(member(anchors), clean.positive, clean.negative))

            return Triplets(attack(away, images.anchor, member), images.positive, images.negative)
        collapsed = collapseness(clean.positive, clean.negative)

        def aware(candidates: Tensor) -> Tensor:
            positive, negative = member(candidates).chunk(2)
            harder = (1 - collapsed) * hardness(Triplets(clean.anchor, positive, negative))
            return harder + self.strength * collapsed * distances(positive, negative)

        candidates = attack(aware, torch.cat([images.positive, images.negative]), member)
        return Triplets(images.anchor, *candidates.chunk(2))
