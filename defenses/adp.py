"""Adaptive diversity promoting."""

from __future__ import annotations

from typing import ClassVar, cast

import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeFloat, PositiveFloat
from torch import Tensor

from benchmark.core.embedder import Embedder
from benchmark.core.errors import UsageError
from benchmark.models import Ensemble
from defenses.base import DEFENSES, Batch, Defense, InnerMaximiser, MemberFactory

JITTER = 1e-6
"""Added to the diagonal, as in the original's code: members that agree have a determinant of zero."""


def entropy(probabilities: Tensor) -> Tensor:
    """Shannon entropy, in nats, of distributions, shape (n, classes); shape (n,)."""
    return -(probabilities * probabilities.clamp_min(1e-20).log()).sum(1)


def log_ensemble_diversity(probabilities: Tensor, labels: Tensor) -> Tensor:
    """Log det(M M^T + 1e-6 I), the squared volume that the members' non-true-class predictions span.

    Pang et al. 2019, eq. 5.

    Args:
        probabilities: predictions of K members, shape (K, n, classes).
        labels: true classes, shape (n,).

    Returns:
        One value an image, shape (n,).
    """
    members, count, classes = probabilities.shape
    wrong = F.one_hot(labels, classes) == 0
    others = probabilities.transpose(0, 1)[wrong.unsqueeze(1).expand(-1, members, -1)]
    matrix = F.normalize(others.view(count, members, classes - 1), dim=2)
    gram = matrix @ matrix.transpose(1, 2)
    return torch.logdet(gram + JITTER * torch.eye(members, device=gram.device))


@DEFENSES.register("adp")
class ADP(Defense):
    """Adaptive diversity promoting ensemble (Pang et al. 2019, arXiv 1901.08846, eq. 5 and 6).

    Minimises the sum of the members' losses - alpha * H(mean of p_k) - beta * log det(M M^T): the ensemble's
    prediction should be uncertain about the wrong classes, and the members should differ there. p_k is the
    softmax over the cosine similarities to member k's proxies, divided by a temperature. At test time the
    members' embeddings are concatenated.

    Its rows meet a longer attack too: the evaluation that broke the original found that its attacks had been
    stopped before they converged (Tramer et al. 2020, arXiv 2002.08347).

    Attributes:
        members: number of members K; at most the number of training classes less one.
        alpha: weight of the entropy; 2 in the original, whose loss was cross-entropy.
        beta: weight of the log determinant; 0.5 in the original.
        temperature: divides the cosines before the softmax.
    """

    needs_proxies = True
    adaptive: ClassVar[tuple[str, ...]] = ("pgd_decay[objective=neighbour,steps=100]",)

    members: int = Field(default=3, ge=2, le=10)
    alpha: NonNegativeFloat = 2.0
    beta: NonNegativeFloat = 0.5
    temperature: PositiveFloat = 0.1

    def build(self, make_member: MemberFactory, labels: Tensor) -> Ensemble:
        """An ensemble of plain members.

        Raises:
            UsageError: when there are too few training classes for so many members.
        """
        classes = len(labels.unique())
        if self.members > classes - 1:
            raise UsageError(
                f"adp[members={self.members}] needs more than {self.members} training classes, not {classes}."
            )
        return Ensemble([make_member() for _ in range(self.members)])

    def loss(self, model: Embedder, batch: Batch, attack: InnerMaximiser) -> Tensor:
        """The members' losses less the diversity terms, on the clean batch."""
        ensemble = cast("Ensemble", model)
        total = batch.images.new_zeros(())
        predictions = []
        for member in ensemble.members:
            embeddings = member(batch.images)
            total = total + member.loss(embeddings, batch.labels)
            predictions.append(F.softmax(member.class_cosines(embeddings) / self.temperature, dim=1))
        probabilities = torch.stack(predictions)
        diversity = log_ensemble_diversity(probabilities, batch.labels).mean()
        return total - self.alpha * entropy(probabilities.mean(0)).mean() - self.beta * diversity
