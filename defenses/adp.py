"""Adaptive diversity promoting (ADP)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, cast

import torch
import torch.nn.functional as F
from pydantic import Field, NonNegativeFloat, PositiveFloat
from torch import Tensor

from benchmark.core.embedder import Embedder
from benchmark.core.errors import UsageError
from benchmark.models import Ensemble
from defenses.base import DEFENSES, Batch, Defense, InnerMaximiser, MemberFactory, Range

JITTER = 1e-6
"""Added to the diagonal, as in the authors' code: without it, members that agree have a determinant of 0."""


def entropy(probabilities: Tensor) -> Tensor:
    """Computes the Shannon entropy of distributions, shape (n, classes), in nats, shape (n,)."""
    return -(probabilities * probabilities.clamp_min(1e-20).log()).sum(1)


def log_ensemble_diversity(probabilities: Tensor, labels: Tensor) -> Tensor:
    """Computes log det(M M^T + 1e-6 I), the log ensemble diversity of Pang et al. 2019, eq. 5.

    The rows of M are the members' predictions for the wrong classes, scaled to unit length; the determinant
    is the squared volume that they span.

    Args:
        probabilities: predictions of K members, shape (K, n, classes).
        labels: true classes, shape (n,).

    Returns:
        One value per image, shape (n,).
    """
    members, _, classes = probabilities.shape
    own = labels.unsqueeze(1) == torch.arange(classes, device=labels.device)
    # A zero in the column of the true class gives the products that the matrix without it has.
    matrix = F.normalize(probabilities.transpose(0, 1).masked_fill(own.unsqueeze(1), 0.0), dim=2)
    with torch.autocast(matrix.device.type, enabled=False):  # half precision would round the jitter away
        gram = matrix @ matrix.transpose(1, 2)
        return torch.logdet(gram + JITTER * torch.eye(members, device=gram.device))


@DEFENSES.register("adp")
class ADP(Defense):
    """Adaptive diversity promoting ensemble (Pang et al. 2019, arXiv 1901.08846, eq. 5 and 6).

    Minimizes the sum of the members' losses - alpha * H(mean of p_k) - beta * log det(M M^T): the ensemble's
    prediction should be uncertain about the wrong classes, and the members should differ there. p_k is the
    softmax over the cosine similarities to member k's proxies, divided by a temperature. At test time the
    members' embeddings are concatenated.

    The original is trained on clean images, and combined with adversarial training in a variant whose batches
    hold clean and adversarial images in equal numbers; which loss those maximize is not known here.
    `adversarial` is that variant, with images that maximize the whole objective, regularizers included: the
    mean of the objective on the clean batch and on its adversarial images. The original drew eps at random
    from an interval; here it is the training attack's.

    Its rows are evaluated under a longer attack too: the evaluation that broke the original found that the
    original's attacks had been stopped before they converged (Tramer et al. 2020, arXiv 2002.08347).

    Attributes:
        members: number of members K; at most the number of training classes minus one.
        alpha: weight of the entropy; 2 in the original, whose loss was cross-entropy.
        beta: weight of the log determinant; 0.5 in the original.
        temperature: divisor of the cosines before the softmax.
        adversarial: whether to train on clean and adversarial images, or only on clean ones.
    """

    needs_proxies = True
    adaptive: ClassVar[tuple[str, ...]] = ("pgd_decay[objective=neighbour,steps=100]",)
    tunable: ClassVar[Mapping[str, Range | tuple[Any, ...]]] = {
        "alpha": Range(0.1, 20, log=True),
        "beta": Range(0.02, 5, log=True),
    }

    members: int = Field(default=3, ge=2, le=10)
    alpha: NonNegativeFloat = 2.0
    beta: NonNegativeFloat = 0.5
    temperature: PositiveFloat = 0.1
    adversarial: bool = False

    def build(self, make_member: MemberFactory, labels: Tensor) -> Ensemble:
        """Builds an ensemble of plain members.

        Raises:
            UsageError: when there are too few training classes for the number of members.
        """
        classes = len(labels.unique())
        if self.members > classes - 1:
            raise UsageError(
                f"adp[members={self.members}] needs more than {self.members} training classes, not {classes}."
            )
        return Ensemble([make_member() for _ in range(self.members)])

    def loss(self, model: Embedder, batch: Batch, attack: InnerMaximiser) -> Tensor:
        """Computes the objective on the clean batch, or its mean over the clean and the adversarial batch."""
        ensemble = cast("Ensemble", model)

        def objective(images: Tensor) -> Tensor:
            return self.objective(ensemble, images, batch.labels)

        if not self.adversarial:
            return objective(batch.images)
        adversarial = attack(objective, batch.images, ensemble)
        return (objective(batch.images) + objective(adversarial)) / 2

    def objective(self, ensemble: Ensemble, images: Tensor, labels: Tensor) -> Tensor:
        """Computes the members' losses minus the diversity terms (eq. 6), a scalar.

        Args:
            ensemble: the ensemble.
            images: shape (n, C, H, W) in [0, 1].
            labels: shape (n,).
        """
        total = images.new_zeros(())
        predictions = []
        for member in ensemble.members:
            embeddings = member(images)
            total = total + member.loss(embeddings, labels)
            predictions.append(F.softmax(member.class_cosines(embeddings) / self.temperature, dim=1))
        probabilities = torch.stack(predictions)
        diversity = log_ensemble_diversity(probabilities, labels).mean()
        return total - self.alpha * entropy(probabilities.mean(0)).mean() - self.beta * diversity
