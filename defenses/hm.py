"""Hardness manipulation (HM)."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import NonNegativeFloat
from torch import Tensor

from benchmark.core.embedder import Embedder
from benchmark.models import Member
from defenses.base import DEFENSES, Batch, InnerMaximiser, MemberFactory
from defenses.triplets import Mining, TripletDefense, Triplets, embed, hardness, mine, triplet_loss

UNTRAINED = 2.0
"""The previous loss at the first step: a large value, as in the authors' code."""


@DEFENSES.register("hm")
class HM(TripletDefense):
    """Hardness manipulation (Zhou & Patel 2022, arXiv 2203.01439).

    The hardness of a triplet is H = d(a, p) - d(a, n). The attack on a, p and n minimizes the mean of min(0,
    H(a', p', n') - H_dst)^2: it raises the hardness up to a destination H_dst and no further, so that
    triplets do not become so hard that the embedding collapses. The model minimizes the triplet loss on a',
    p', n'.

    The destination is gradual by default (the paper's linear gradual adversary, LGA, with its margin of 0.2):
    H_dst = -margin * clip(loss, 0, margin) / margin, with the triplet loss of the previous step. At a loss of
    margin and above, triplets are only raised to H = -margin, where the triplet loss begins; at a loss of 0,
    to d(a, p) = d(a, n). The previous loss is a buffer of the model, and so part of its checkpoint.

    ICS (intra-class structure) adds ics * max(0, d(f(a), f(a')) - d(f(a), f(p))), with clean a and p:
    adversarial anchors stay nearer to the clean anchors than other images of the class.

    From the paper: all formulas, lambda 0.5 of ICS. Adapted: soft-hard mining as `mining=hard` (see
    `TripletDefense`, also for the training loss that is added), and the benchmark's attack, which starts at
    random where the authors' starts at the clean images: a triplet may start beyond its destination.

    Attributes:
        destination: "gradual", or the mining of a benign triplet with the same anchor, whose hardness is the
            destination; a triplet that already is at least that hard is not raised.
        ics: lambda, the weight of the intra-class term within the triplet term; 0 turns it off.
    """

    mining: Mining = "hard"
    destination: Literal["gradual", "semihard", "hard"] = "gradual"
    ics: NonNegativeFloat = 0.5

    def build(self, make_member: MemberFactory, labels: Tensor) -> Embedder:
        """Builds one plain member with the triplet loss of the previous step as a buffer."""
        member = make_member()
        member.register_buffer("previous_loss", torch.tensor(UNTRAINED))
        return member

    def destinations(self, member: Member, batch: Batch) -> Tensor:
        """Computes H_dst of each triplet, shape (t,), or one for all, a scalar.

        Args:
            member: the model that `build` returned.
            batch: the training batch.
        """
        if self.destination == "gradual":
            previous: Tensor = member.get_buffer("previous_loss")
            return -previous.clamp(0, self.margin)  # the factor margin and the divisor margin cancel
        embeddings = embed(member, batch.images)
        return hardness(mine(batch.labels, self.destination, self.margin, embeddings).select(embeddings))

    def perturbed(self, member: Member, batch: Batch, rows: Triplets, attack: InnerMaximiser) -> Triplets:
        """Computes triplets that are raised up to their destinations."""
        destinations = self.destinations(member, batch)

        def objective(images: Tensor) -> Tensor:
            hardnesses = hardness(Triplets.unstacked(member(images)))
            return -(hardnesses - destinations).clamp(max=0).square().mean()

        return Triplets.unstacked(attack(objective, rows.select(batch.images).stacked(), member))

    def term(self, member: Member, clean: Triplets, embedded: Triplets) -> Tensor:
        """Computes the triplet loss plus the intra-class term; stores the former for the next destination."""
        loss = triplet_loss(embedded, self.margin)
        member.get_buffer("previous_loss").copy_(loss.detach())
        if not self.ics:
            return loss
        anchor, positive = member(torch.cat([clean.anchor, clean.positive])).chunk(2)
        # A triplet loss with the adversarial anchor as the positive, and the clean positive as the negative.
        return loss + self.ics * triplet_loss(Triplets(anchor, embedded.anchor, positive), margin=0)
