"""Adversarial training guided by the centers of the classes."""

from __future__ import annotations

from typing import Any, ClassVar, cast

import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeFloat, PositiveFloat
from torch import Tensor

from benchmark.core.embedder import Embedder
from benchmark.models import Member
from defenses.base import DEFENSES, Batch, Defense, InnerMaximiser, MemberFactory, Range


@DEFENSES.register("center_at")
class CenterAT(Defense):
    """Center-guided adversarial training, after CgAT (Wang et al., WWW 2023, arXiv 2204.10779).

    With c_k the running mean of the clean embeddings of class k, and the center code b_k, the direction of
    c_k - mean of all c (near to its own images, far from the others'):

        attack:  x' = argmax -cos(f(x'), b_y)
        loss:    L(f(x), y) + weight [CE(f(x)) + CE(f(x'))]
                 CE(z) = -log softmax_k(cos(z, b_k) / temperature) at k = y

    A reconstruction from a description of the method. From the paper: an attack away from the center code of
    the image's class, a code that is computed from positives and negatives, and the pull of adversarial
    images to it beside the original loss. Adapted from hashing: codes are unit vectors, not binary, and
    cosines replace Hamming distances; the center is that of a class, where the paper weights the images of
    each query; clean images are pulled too; the push from other centers is that of the softmax; there is no
    quantization loss. The constants are plain choices; in the authors' code the pull has weight 1.

    Attributes:
        weight: weight of the center terms.
        temperature: divisor of the cosines.
        momentum: what a center keeps of its former value when a batch holds images of its class.
    """

    tunable: ClassVar[Any] = {
        "weight": Range(0.1, 30.0, log=True),
        "temperature": Range(0.02, 0.5, log=True),
    }

    weight: NonNegativeFloat = 3.0
    temperature: PositiveFloat = 0.1
    momentum: float = Field(default=0.9, ge=0, lt=1)

    def build(self, make_member: MemberFactory, labels: Tensor) -> Embedder:
        """Builds one plain member with the running means of the classes as a buffer, at first 0."""
        member = make_member()
        member.register_buffer("centers", torch.zeros(int(labels.max()) + 1, member.dim))
        return member

    def update(self, centers: Tensor, embeddings: Tensor, labels: Tensor) -> None:
        """Moves the centers of the batch's classes, in place; a new one becomes the batch's mean."""
        one_hot = F.one_hot(labels, len(centers)).to(embeddings.dtype)
        counts = one_hot.sum(0).unsqueeze(1)
        means = one_hot.t() @ embeddings / counts.clamp_min(1)
        kept = torch.where((centers == 0).all(1, keepdim=True), 0.0, self.momentum)
        centers.copy_(torch.where(counts > 0, kept * centers + (1 - kept) * means, centers))

    def loss(self, model: Embedder, batch: Batch, attack: InnerMaximiser) -> Tensor:
        """Computes the training loss of clean images, and the center terms of clean and adversarial ones."""
        member = cast("Member", model)
        clean = member(batch.images)
        centers = member.get_buffer("centers")
        self.update(centers, clean.detach(), batch.labels)
        codes = F.normalize(centers - centers.mean(0))
        own = codes[batch.labels]
        adversarial = attack(lambda images: -(member(images) * own).sum(1), batch.images, member)

        def pull(embeddings: Tensor) -> Tensor:
            return F.cross_entropy(embeddings @ codes.t() / self.temperature, batch.labels)

        return member.loss(clean, batch.labels) + self.weight * (pull(clean) + pull(member(adversarial)))
