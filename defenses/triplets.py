"""Triplets: how they are mined, and the frame of the defenses that perturb them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, cast

import torch
from pydantic import PositiveFloat
from pytorch_metric_learning.miners import TripletMarginMiner
from pytorch_metric_learning.utils.loss_and_miner_utils import get_random_triplet_indices
from torch import Tensor

from benchmark.core.embedder import Embedder
from benchmark.models import Member, frozen
from defenses.base import Batch, Defense, InnerMaximiser, Range

Mining = Literal["random", "semihard", "hard"]
"""Which triplets are taken, of each anchor's: see `mine`."""


@dataclass(frozen=True)
class Triplets:
    """Anchors, positives and negatives; three of one shape, (t, ...).

    They are rows of a batch, images or embeddings, as the case may be.
    """

    anchor: Tensor
    positive: Tensor
    negative: Tensor

    def __len__(self) -> int:
        return len(self.anchor)

    def of(self, values: Tensor) -> Triplets:
        """The values, shape (n, ...), at these rows."""
        return Triplets(values[self.anchor], values[self.positive], values[self.negative])

    def stacked(self) -> Tensor:
        """All in one tensor, anchors first, shape (3 t, ...)."""
        return torch.cat([self.anchor, self.positive, self.negative])

    @staticmethod
    def unstacked(values: Tensor) -> Triplets:
        """The inverse of `stacked`."""
        return Triplets(*values.chunk(3))


def distances(a: Tensor, b: Tensor) -> Tensor:
    """Euclidean distances of unit vectors, row by row: shape (t, d) twice to (t,) in [0, 2].

    The gradient at a distance of 0 is 0.
    """
    return torch.linalg.vector_norm(a - b, dim=1)


def hardness(embeddings: Triplets) -> Tensor:
    """d(a, p) - d(a, n) of each triplet, shape (t,) in [-2, 2]."""
    near = distances(embeddings.anchor, embeddings.positive)
    return near - distances(embeddings.anchor, embeddings.negative)


def triplet_loss(embeddings: Triplets, margin: float) -> Tensor:
    """Mean of max(0, d(a, p) - d(a, n) + margin) over all triplets, satisfied ones included; a scalar."""
    return (hardness(embeddings) + margin).clamp(min=0).mean()


def mine(labels: Tensor, mining: Mining, margin: float, embeddings: Tensor | None = None) -> Triplets:
    """One triplet for each image that has a positive and a negative in the batch, in the anchors' order.

    Drawn on the CPU, so that a GPU's run sees the same triplets.

    Args:
        labels: classes, shape (n,).
        mining: "random": any; "semihard": d(a, p) < d(a, n) <= d(a, p) + margin; "hard": d(a, n) <= d(a, p).
            In each case one of them at random, and of an anchor that has none, any.
        margin: of "semihard".
        embeddings: unit vectors, shape (n, d); not needed for "random".

    Returns:
        Rows of the batch, int64, on the labels' device; none when no image has both.
    """
    on_cpu = labels.cpu()
    drawn = torch.stack(get_random_triplet_indices(on_cpu, t_per_anchor=1))
    if mining != "random" and drawn.shape[1]:
        assert embeddings is not None
        miner = TripletMarginMiner(margin=margin, type_of_triplets=mining)
        mined = torch.stack(miner(embeddings.detach().cpu().float(), on_cpu))
        # Those that are wanted stand first, in random order; the others behind them.
        drawn = torch.cat([mined[:, torch.randperm(mined.shape[1])], drawn], dim=1)
    order = drawn[0].argsort(stable=True)
    drawn = drawn[:, order]
    first = torch.ones(drawn.shape[1], dtype=torch.bool)
    first[1:] = drawn[0, 1:] != drawn[0, :-1]
    return Triplets(*drawn[:, first].to(labels.device))


class TripletDefense(Defense):
    """The frame of the defenses that perturb triplets: mine, perturb, then the triplet loss.

    The losses of these papers are triplet losses on batches drawn to hold two images of each class, for
    pre-trained networks. The batches here are the same for every defense, drawn at random for losses with
    proxies, so that an image may have no positive beside it and is then left out; and networks for small
    images start untrained. There the triplet loss alone trains badly (on validation classes, it lost most
    of the robustness of `pgd_at`). So the cell's own loss is added (`base`), with a weight on the triplet
    term, whose values are smaller by an order of magnitude. That is a choice of this benchmark, not the
    papers'. Each element of a triplet is an image of its own: one that stands in several triplets is
    perturbed in each of them apart. A batch without any triplet gives the cell's loss on clean images.

    Attributes:
        margin: of the triplet loss, on distances of unit vectors.
        weight: weight of the triplet term beside the cell's loss; without effect when there is none.
        base: on what the cell's loss is added: "adversarial": the triplets' images as perturbed; "clean": the
            batch; "none": no such term, the papers' own form.
        mining: which triplets are taken; see `mine`.
    """

    tunable: ClassVar[Any] = {"weight": Range(1.0, 100.0, log=True), "margin": Range(0.1, 0.5)}

    margin: PositiveFloat = 0.2
    weight: PositiveFloat = 10.0
    base: Literal["adversarial", "clean", "none"] = "adversarial"
    mining: Mining = "random"

    def loss(self, model: Embedder, batch: Batch, attack: InnerMaximiser) -> Tensor:
        """The triplet term on perturbed triplets, and the cell's loss."""
        member = cast("Member", model)
        embeddings = None if self.mining == "random" else embed(member, batch.images)
        rows = mine(batch.labels, self.mining, self.margin, embeddings)
        if not len(rows):
            return member.loss(member(batch.images), batch.labels)
        perturbed = self.perturbed(member, batch, rows, attack)
        embedded = Triplets.unstacked(member(perturbed.stacked()))
        robust = self.term(member, rows.of(batch.images), embedded)
        if self.base == "none":
            return robust
        if self.base == "clean":
            return member.loss(member(batch.images), batch.labels) + self.weight * robust
        base = member.loss(embedded.stacked(), rows.of(batch.labels).stacked())
        return base + self.weight * robust

    def perturbed(self, member: Member, batch: Batch, rows: Triplets, attack: InnerMaximiser) -> Triplets:
        """The images of the triplets that are trained on, each shape (t, C, H, W).

        Args:
            member: the model.
            batch: the training images.
            rows: the triplets, as rows of the batch.
            attack: the training attack.
        """
        raise NotImplementedError

    def term(self, member: Member, clean: Triplets, embedded: Triplets) -> Tensor:
        """The triplet term, a scalar, from the clean images and the embeddings of the perturbed ones."""
        return triplet_loss(embedded, self.margin)


def embed(member: Member, images: Tensor) -> Tensor:
    """Embeds images as the attack sees the model, shape (n, d), detached."""
    with frozen(member), torch.no_grad():
        embeddings: Tensor = member(images)
    return embeddings
