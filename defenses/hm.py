"""Hardness manipulation."""

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
"""What stands for the previous loss before the first step, as in the authors' code: a large one."""


@DEFENSES.register("hm")
class HM(TripletDefense):
    """Hardness manipulation (Zhou & Patel 2022, arXiv 2203.01439).

    The hardness of a triplet is H = d(a, p) - d(a, n). The attack on a, p and n minimises the mean of
    min(0, H(a', p', n') - H_dst)^2: it raises the hardness to a destination and no further, so that the
    triplets are not so hard that the embedding collapses. The model minimises the triplet loss on a', p', n'.

    The destination is gradual by default (the paper's linear gradual adversary, LGA, with its margin of 0.2):
    H_dst = -margin * clip(loss, 0, margin) / margin, of the triplet loss of the step before. At a loss of
    margin and above, triplets are only raised to H = -margin, where the triplet loss begins; at a loss of 0,
    to d(a, p) = d(a, n). The previous loss is a buffer of the model, and so a part of its checkpoint.

    ICS (intra-class structure) adds ics * max(0, d(f(a), f(a')) - d(f(a), f(p))), clean a and p: adversarial
    anchors stay nearer to their clean selves than other images of the class.

    From the paper: all formulas, lambda 0.5 of ICS. Adapted: soft-hard mining as `mining=hard` (see
    `TripletDefense`, also for the cell's loss beside the term), and the benchmark's attack, which starts at
    random where the authors' starts at the clean images: a triplet may begin beyond its destination.

    Attributes:
        destination: "gradual", or how a benign triplet of the same anchor is mined whose hardness is the
            destination; one that is no harder than the first leaves it where it starts.
        ics: lambda, the weight of the intra-class term within the triplet term; 0 turns it off.
    """

    mining: Mining = "hard"
    destination: Literal["gradual", "semihard", "hard"] = "gradual"
    ics: NonNegativeFloat = 0.5

    def build(self, make_member: MemberFactory, labels: Tensor) -> Embedder:
        """One plain member that remembers the triplet loss of the previous step."""
        member = make_member()
        member.register_buffer("previous_loss", torch.tensor(UNTRAINED))
        return member

    def destinations(self, member: Member, batch: Batch) -> Tensor:
        """H_dst of each triplet, shape (t,), or one for all, a scalar.

        Args:
            member: what `build` returned.
            batch: the training images.
        """
        if self.destination == "gradual":
            previous: Tensor = member.get_buffer("previous_loss")
            return -previous.clamp(0, self.margin)  # the margin in front and the one below cancel
        embeddings = embed(member, batch.images)
        return hardness(mine(batch.labels, self.destination, self.margin, embeddings).of(embeddings))

    def perturbed(self, member: Member, batch: Batch, rows: Triplets, attack: InnerMaximiser) -> Triplets:
        """Triplets made harder, up to their destinations."""
        destinations = self.destinations(member, batch)

        def objective(images: Tensor) -> Tensor:
            reached = hardness(Triplets.unstacked(member(images)))
            return -(reached - destinations).clamp(max=0).square().mean()

        return Triplets.unstacked(attack(objective, rows.of(batch.images).stacked(), member))

    def term(self, member: Member, clean: Triplets, embedded: Triplets) -> Tensor:
        """The triplet loss, which the next step's destination comes from, and the intra-class term."""
        loss = triplet_loss(embedded, self.margin)
        member.get_buffer("previous_loss").copy_(loss.detach())
        if not self.ics:
            return loss
        anchor, positive = member(torch.cat([clean.anchor, clean.positive])).chunk(2)
        # As a triplet: the clean anchor, its adversarial self in the place of the positive, the positive in
        # the negative's.
        return loss + self.ics * triplet_loss(Triplets(anchor, embedded.anchor, positive), margin=0)
