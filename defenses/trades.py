"""TRADES: a trade-off between the clean loss and robustness."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, cast

import torch.nn.functional as F
from pydantic import NonNegativeFloat, PositiveFloat
from torch import Tensor

from benchmark.core.embedder import Embedder
from benchmark.models import Member, frozen
from defenses.base import DEFENSES, Batch, Defense, InnerMaximiser, Range


@dataclass(frozen=True)
class _Distance:
    """D between images and the representation of clean ones, a scalar.

    Attributes:
        member: the model.
        temperature: that of "kl"; None for "embedding".
    """

    member: Member
    temperature: float | None

    def representation(self, embeddings: Tensor) -> Tensor:
        """Computes what D compares: log-probabilities, shape (n, classes), or embeddings, shape (n, d)."""
        if self.temperature is None:
            return embeddings
        return F.log_softmax(self.member.class_cosines(embeddings) / self.temperature, dim=1)

    def __call__(self, images: Tensor, clean: Tensor) -> Tensor:
        adversarial = self.representation(self.member(images))
        if self.temperature is None:  # of unit vectors
            return (1 - (clean * adversarial).sum(1)).mean()
        return F.kl_div(adversarial, clean, log_target=True, reduction="batchmean")


@DEFENSES.register("trades")
class TRADES(Defense):
    """TRADES (Zhang et al. 2019, arXiv 1901.08573, eq. 5 and algorithm 1).

    Minimizes L(f(x), y) + beta * D(x, x'), where x' maximizes D from a start of x + 0.001 N(0, I), because
    the gradient of D is zero at x itself. In the inner problem the clean side is fixed; in the outer one
    gradients flow through both sides. The original's D is KL(p(x) || p(x')). A metric-learning model has no
    classifier, so p is the softmax over the cosine similarities to the training classes' proxies, divided by
    a temperature; or D is the distance of the embeddings, which needs no proxies and is not in the paper.
    A beta that suits one distance does not carry over to the other: cosine distances lie in [0, 2].

    Attributes:
        beta: weight of the robustness term; 6 in the original, whose loss was cross-entropy.
        temperature: divisor of the cosines before the softmax; unused with distance=embedding. Proxy Anchor's
            own factor of 32 saturates the softmax.
        distance: D. "kl": the divergence of the distributions over classes; "embedding":
            1 - cos(f(x), f(x')). Either is averaged over the batch.
    """

    tunable: ClassVar[Mapping[str, Range | tuple[Any, ...]]] = {
        "beta": Range(1, 24, log=True),
        "temperature": Range(0.05, 0.5, log=True),
    }

    beta: NonNegativeFloat = 12.0
    temperature: PositiveFloat = 0.15
    distance: Literal["kl", "embedding"] = "kl"

    @property
    def needs_proxies(self) -> bool:  # type: ignore[override]
        """Whether D compares distributions over the training classes."""
        return self.distance == "kl"

    def loss(self, model: Embedder, batch: Batch, attack: InnerMaximiser) -> Tensor:
        """Computes the clean loss plus beta times D between clean and adversarial images."""
        member = cast("Member", model)
        distance = _Distance(member, self.temperature if self.distance == "kl" else None)
        with frozen(member):  # as the attack sees the model
            fixed = distance.representation(member(batch.images)).detach()
        adversarial = attack(distance, batch.images, member, start="gaussian", given=[fixed])
        embeddings = member(batch.images)
        robust = distance(adversarial, distance.representation(embeddings))
        return member.loss(embeddings, batch.labels) + self.beta * robust
