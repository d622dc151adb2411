"""The robust metric learning of Panum et al."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from torch import Tensor

from benchmark.models import Member
from defenses.base import DEFENSES, Batch, InnerMaximiser
from defenses.triplets import TripletDefense, Triplets, embed, hardness


@DEFENSES.register("panum")
class Panum(TripletDefense):
    """Robust deep metric learning (Panum et al. 2021, arXiv 2102.07265).

    A metric loss depends on several images of the batch at once; the paper perturbs exactly one element of
    each tuple and keeps the embeddings of the others fixed. Here x' = argmax over the ball of
    d(f(a), f(p)) - d(f(a), f(n)) in the perturbed element: the triplet loss without its hinge, so that
    satisfied triplets have a gradient too. The model minimizes the triplet loss with x' in place of that
    element. A reconstruction from a description of the method, which was trained with eps 0.01 and 5 steps of
    2 eps / 5; here the training attack is the benchmark's, the same for every defense. Adapted: the training
    loss is added to the triplet term (see `TripletDefense`). The paper's mining is not known here.

    Attributes:
        element: which element of a triplet is perturbed.
    """

    element: Literal["positive", "anchor", "negative"] = "positive"

    def perturbed(self, member: Member, batch: Batch, rows: Triplets, attack: InnerMaximiser) -> Triplets:
        """Computes the triplets with one element perturbed."""
        clean = rows.select(batch.images)
        fixed = Triplets.unstacked(embed(member, clean.stacked()))

        def objective(images: Tensor) -> Tensor:
            return hardness(replace(fixed, **{self.element: member(images)}))

        return replace(clean, **{self.element: attack(objective, getattr(clean, self.element), member)})
