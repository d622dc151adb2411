"""The pairs of verification, turned round."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from attacks.objectives.base import OBJECTIVES, Objective, Score
from attacks.problem import Problem
from benchmark.metrics import verification_pairs


@OBJECTIVES.register("pair")
class Pair(Objective):
    """cos(z, f(p)) where the clean partner p is of another class, -cos(z, f(p)) where it is of the same.

    The partners are those of the scenario `verification`.
    """

    scenarios: ClassVar[tuple[str, ...]] = ("verification",)

    def bind(self, problem: Problem) -> Score:
        """The score against the clean partners of the problem's images."""
        pairs = verification_pairs(problem.labels.cpu(), problem.ids)
        partner, same = pairs.partner.to(problem.labels.device), pairs.same.to(problem.labels.device)
        wanted = torch.where(same.unsqueeze(1), -problem.clean[partner], problem.clean[partner])

        def score(embeddings: Tensor, index: Tensor) -> Tensor:
            return (embeddings * wanted[index]).sum(1)

        return score
