"""Robrank's measures: what an attack made for one of them leaves of it."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from attacks.ranking import Measure, measure_of
from benchmark.core.errors import BenchmarkError
from benchmark.evaluation.pool_embeddings import PoolEmbeddings
from benchmark.evaluation.scenario import SCENARIOS, Scenario, ScenarioScore


@SCENARIOS.register("ranking")
class Ranking(Scenario):
    """Each image is attacked for one measure of rankings; all other images of the pool are clean.

    A randomised model's figures are means over passes; targets are drawn from the mean of its clean passes.
    """

    exclusive: ClassVar[bool] = True

    def score(self, views: PoolEmbeddings) -> ScenarioScore:
        """The measure's figures by name, and under `constant_` what a constant embedding has of each.

        Raises:
            BenchmarkError: when the attack does not name this scenario, ids occur twice, or some images only
                query.
        """
        measure = self._measure(views)
        if views.separate:
            raise BenchmarkError("Ranking: its measures need a pool in which each image queries all others.")
        if len(views.ids.unique()) != len(views.ids):
            raise BenchmarkError("Ranking: the pool has two images of one id.")
        turns = [views.clean(turn) for turn in range(views.passes)]
        middle = F.normalize(torch.stack(turns).mean(0)) if len(turns) > 1 else turns[0]
        targets = measure.targets(middle, views.labels, views.ids)
        each = [
            measure.scores(clean, views.attacked(turn), views.labels, targets)
            for turn, clean in enumerate(turns)
        ]
        metrics = {name: sum(figures[name] for figures in each) / len(each) for name in each[0]}
        constant = self._constant(measure, views.labels, targets)
        return ScenarioScore(metrics | {f"constant_{name}": value for name, value in constant.items()})

    def _measure(self, views: PoolEmbeddings) -> Measure:
        attack = views.attack
        measure = measure_of(attack) if attack is not None and self.name in attack.made_for() else None
        if measure is None:
            what = "clean images" if attack is None else attack.spec
            raise BenchmarkError(f"The scenario ranking scores attacks made for it alone, not {what}.")
        return measure

    def _constant(self, measure: Measure, labels: Tensor, targets: Tensor) -> dict[str, float]:
        embeddings = torch.ones(len(labels), 1)
        return measure.scores(embeddings, embeddings, labels, targets)
