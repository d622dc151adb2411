"""Objective: reverse the pairs of verification."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from attacks.objectives.base import OBJECTIVES, Objective, Score
from attacks.problem import Problem
from benchmark.metrics import verification_pairs


@OBJECTIVES.register("pair")
class Pair(Objective):
    """cos(z, f(p)) if the clean partner p is of another class, -cos(z, f(p)) if it is of the same.

    The partners are those of the scenario `verification`.
    """

    capturable: ClassVar[bool] = True
    scenarios: ClassVar[tuple[str, ...]] = ("verification",)

    def bind(self, problem: Problem) -> Score:
        """Returns the score against the clean partners of the problem's images."""
        pairs = verification_pairs(problem.labels.cpu(), problem.ids)
        partner, same = pairs.partner.to(problem.labels.device), pairs.same.to(problem.labels.device)
        signed_partner = torch.where(same.unsqueeze(1), -problem.clean[partner], problem.clean[partner])

        def score(embeddings: Tensor, index: Tensor) -> Tensor:
            return (embeddings * signed_partner[index]).sum(1)

        return score
