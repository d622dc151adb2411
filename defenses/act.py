"""Anti-collapse triplet."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmark.models import Member
from defenses.base import DEFENSES, Batch, InnerMaximiser
from defenses.triplets import TripletDefense, Triplets, distances


@DEFENSES.register("act")
class ACT(TripletDefense):
    """Anti-collapse triplet (Zhou et al. 2021, arXiv 2106.03614).

    The attack draws the positive and the negative of a triplet together: p', n' = argmin over the balls of
    d(f(p'), f(n')). The model minimises max(0, d(f(a), f(p')) - d(f(a), f(n')) + margin) with the clean
    anchor, and so pulls them apart again. (Maximising the triplet loss itself tends to collapse the embedding
    to a point.) From the paper: the margin of 0.2, unit vectors, Euclidean distance. Adapted: the cell's loss
    beside it, for batches drawn at random (see `TripletDefense`), and the benchmark's attack, which starts at
    random.
    """

    def perturbed(self, member: Member, batch: Batch, rows: Triplets, attack: InnerMaximiser) -> Triplets:
        """The clean anchors, and positives and negatives drawn together."""
        clean = rows.of(batch.images)

        def objective(images: Tensor) -> Tensor:
            positive, negative = member(images).chunk(2)
            return -distances(positive, negative)

        positive, negative = attack(objective, torch.cat([clean.positive, clean.negative]), member).chunk(2)
        return Triplets(clean.anchor, positive, negative)
