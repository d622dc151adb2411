"""TRADES."""

from __future__ import annotations

from typing import cast

import torch.nn.functional as F
from pydantic import NonNegativeFloat, PositiveFloat
from torch import Tensor

from benchmark.core.embedder import Embedder
from benchmark.models import Member, frozen
from defenses.base import DEFENSES, Batch, Defense, InnerMaximiser


@DEFENSES.register("trades")
class TRADES(Defense):
    """TRADES (Zhang et al. 2019, arXiv 1901.08573, eq. 5 and algorithm 1).

    Minimises L(f(x), y) + beta * KL(p(x) || p(x')), where x' maximises that KL from a start of
    x + 0.001 N(0, I), and gradients flow through both terms. A metric-learning model has no classifier, so
    p is the softmax over the cosine similarities to the training classes' proxies, divided by a temperature.

    Attributes:
        beta: weight of the robustness term; 6 in the original, whose loss was cross-entropy.
        temperature: divides the cosines before the softmax. Proxy Anchor's own factor of 32 saturates it.
    """

    needs_proxies = True

    beta: NonNegativeFloat = 12.0
    temperature: PositiveFloat = 0.15

    def loss(self, model: Embedder, batch: Batch, attack: InnerMaximiser) -> Tensor:
        """The clean loss plus beta times the divergence between clean and adversarial predictions."""
        member = cast("Member", model)

        def log_probabilities(embeddings: Tensor) -> Tensor:
            return F.log_softmax(member.class_cosines(embeddings) / self.temperature, dim=1)

        def divergence(clean: Tensor, images: Tensor) -> Tensor:
            return F.kl_div(log_probabilities(member(images)), clean, log_target=True, reduction="batchmean")

        with frozen(member):  # as the attack sees the model
            target = log_probabilities(member(batch.images)).detach()
        adversarial = attack(
            lambda images: divergence(target, images), batch.images, member, start="gaussian"
        )
        embeddings = member(batch.images)
        robust = divergence(log_probabilities(embeddings), adversarial)
        return member.loss(embeddings, batch.labels) + self.beta * robust
