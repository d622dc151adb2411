"""The anti-collapse triplet defense."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmark.models import Member
from defenses.base import DEFENSES, Batch, InnerMaximiser
from defenses.triplets import TripletDefense, Triplets, distances


@DEFENSES.register("act")
class ACT(TripletDefense):
    """Anti-collapse triplet (Zhou et al. 2021, arXiv 2106.03614).

    The attack pulls the positive and the negative of a triplet together: p', n' = argmin over the balls of
    d(f(p'), f(n')). The model minimizes max(0, d(f(a), f(p')) - d(f(a), f(n')) + margin) with the clean
    anchor, and so pushes them apart again. (Maximizing the triplet loss itself tends to collapse the
    embedding to a point.) From the paper: the margin of 0.2, unit vectors, Euclidean distance. Adapted: the
    training loss is added, for batches drawn at random (see `TripletDefense`), and the attack is the
    benchmark's, which starts at random.
    """

    def perturbed(self, member: Member, batch: Batch, rows: Triplets, attack: InnerMaximiser) -> Triplets:
        """Computes positives and negatives whose embeddings are pulled together; the anchors stay clean."""
        clean = rows.select(batch.images)

        def objective(images: Tensor) -> Tensor:
            positive, negative = member(images).chunk(2)
            return -distances(positive, negative)

        positive, negative = attack(objective, torch.cat([clean.positive, clean.negative]), member).chunk(2)
        return Triplets(clean.anchor, positive, negative)
