"""Triplets, their mining, and the base class of the defenses that perturb them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, cast

import torch
from pydantic import PositiveFloat
from torch import Tensor

from benchmark.core.embedder import Embedder
from benchmark.core.transfer import to_device
from benchmark.models import Member, frozen
from defenses.base import Batch, Defense, InnerMaximiser, Range

Mining = Literal["random", "semihard", "hard"]
"""Which triplet of each anchor is mined; see `mine`."""


@dataclass(frozen=True)
class Triplets:
    """Anchors, positives and negatives of t triplets, each of shape (t, ...).

    They are indices into a batch, images, or embeddings.
    """

    anchor: Tensor
    positive: Tensor
    negative: Tensor

    def __len__(self) -> int:
        return len(self.anchor)

    def select(self, values: Tensor) -> Triplets:
        """Selects rows of `values`, shape (n, ...), by these indices."""
        return Triplets(values[self.anchor], values[self.positive], values[self.negative])

    def stacked(self) -> Tensor:
        """Concatenates anchors, positives and negatives, shape (3 t, ...)."""
        return torch.cat([self.anchor, self.positive, self.negative])

    @staticmethod
    def unstacked(values: Tensor) -> Triplets:
        """Splits a concatenation of anchors, positives and negatives, shape (3 t, ...)."""
        return Triplets(*values.chunk(3))


def distances(a: Tensor, b: Tensor) -> Tensor:
    """Computes the Euclidean distances of unit vectors row by row, shapes (t, d) to (t,), in [0, 2].

    The gradient at a distance of 0 is 0.
    """
    return torch.linalg.vector_norm(a - b, dim=1)


def hardness(embeddings: Triplets) -> Tensor:
    """Computes d(a, p) - d(a, n) of each triplet, shape (t,), in [-2, 2]."""
    to_positive = distances(embeddings.anchor, embeddings.positive)
    return to_positive - distances(embeddings.anchor, embeddings.negative)


def triplet_loss(embeddings: Triplets, margin: float) -> Tensor:
    """Computes the mean of max(0, d(a, p) - d(a, n) + margin) over all triplets, satisfied ones included."""
    return (hardness(embeddings) + margin).clamp(min=0).mean()


def mine(labels: Tensor, mining: Mining, margin: float, embeddings: Tensor | None = None) -> Triplets:
    """Mines one triplet for each image that has a positive and a negative in the batch, in anchor order.

    The draws are made on the CPU, so that a run on a GPU gets the same triplets.

    Args:
        labels: classes, shape (n,).
        mining: "random": any triplet; "semihard": d(a, p) < d(a, n) <= d(a, p) + margin; "hard": d(a, n) <=
            d(a, p). One such triplet of each anchor is drawn at random; for an anchor that has none, any.
        margin: margin of "semihard".
        embeddings: unit vectors, shape (n, d); not needed for "random".

    Returns:
        Indices into the batch, int64, on the labels' device; empty when no image has both.
    """
    from pytorch_metric_learning.miners import TripletMarginMiner
    from pytorch_metric_learning.utils.loss_and_miner_utils import get_random_triplet_indices

    on_cpu = labels.cpu()
    drawn = torch.stack(get_random_triplet_indices(on_cpu, t_per_anchor=1))
    if mining != "random" and drawn.shape[1]:
        assert embeddings is not None
        miner = TripletMarginMiner(margin=margin, type_of_triplets=mining)
        mined = torch.stack(miner(embeddings.detach().cpu().float(), on_cpu))
        # The mined triplets come first, in random order, and the fallback of each anchor after them.
        drawn = torch.cat([mined[:, torch.randperm(mined.shape[1])], drawn], dim=1)
    order = drawn[0].argsort(stable=True)
    drawn = drawn[:, order]
    first = torch.ones(drawn.shape[1], dtype=torch.bool)
    first[1:] = drawn[0, 1:] != drawn[0, :-1]
    return Triplets(*to_device(drawn[:, first], labels.device))


class TripletDefense(Defense):
    """Base class of the defenses that perturb triplets: mine triplets, perturb them, take the triplet loss.

    The losses of these papers are triplet losses on batches drawn to hold two images of each class, for
    pre-trained networks. The batches here are the same for every defense, drawn at random for losses with
    proxies, so an image may have no positive in its batch and is then left out; and networks for small
    images start untrained. There the triplet loss alone trains badly (on validation classes, it lost most
    of the robustness of `pgd_at`). Therefore the configured training loss is added (`base`), with a weight on
    the triplet term, whose values are smaller by an order of magnitude. That is a choice of this benchmark,
    not the papers'. An image that is an element of several triplets is perturbed separately in each of them.
    On a batch without any triplet the loss is the training loss on the clean images.

    Attributes:
        margin: margin of the triplet loss, on distances of unit vectors.
        weight: weight of the triplet term relative to the training loss; without effect for base="none".
        base: images on which the training loss is added. "adversarial": the perturbed images of the triplets;
            "clean": the batch; "none": no training loss, as in the papers.
        mining: which triplets are mined; see `mine`.
    """

    tunable: ClassVar[Any] = {"weight": Range(1.0, 100.0, log=True), "margin": Range(0.1, 0.5)}

    margin: PositiveFloat = 0.2
    weight: PositiveFloat = 10.0
    base: Literal["adversarial", "clean", "none"] = "adversarial"
    mining: Mining = "random"

    def loss(self, model: Embedder, batch: Batch, attack: InnerMaximiser) -> Tensor:
        """Computes the triplet term on perturbed triplets plus the training loss."""
        member = cast("Member", model)
        embeddings = None if self.mining == "random" else embed(member, batch.images)
        rows = mine(batch.labels, self.mining, self.margin, embeddings)
        if not len(rows):
            return member.loss(member(batch.images), batch.labels)
        perturbed = self.perturbed(member, batch, rows, attack)
        embedded = Triplets.unstacked(member(perturbed.stacked()))
        robust = self.term(member, rows.select(batch.images), embedded)
        if self.base == "none":
            return robust
        if self.base == "clean":
            return member.loss(member(batch.images), batch.labels) + self.weight * robust
        base = member.loss(embedded.stacked(), rows.select(batch.labels).stacked())
        return base + self.weight * robust

    def perturbed(self, member: Member, batch: Batch, rows: Triplets, attack: InnerMaximiser) -> Triplets:
        """Computes the images of the triplets to train on.

        Args:
            member: the model.
            batch: the training batch.
            rows: the triplets, as indices into the batch.
            attack: the training attack.

        Returns:
            Images, each of shape (t, C, H, W).
        """
        raise NotImplementedError

    def term(self, member: Member, clean: Triplets, embedded: Triplets) -> Tensor:
        """Computes the triplet term, a scalar.

        Args:
            member: the model.
            clean: the clean images of the triplets.
            embedded: the embeddings of the perturbed images.
        """
        return triplet_loss(embedded, self.margin)


def embed(member: Member, images: Tensor) -> Tensor:
    """Embeds images with batch norm in evaluation mode, as in the attack: shape (n, d), detached."""
    with frozen(member), torch.no_grad():
        embeddings: Tensor = member(images)
    return embeddings
