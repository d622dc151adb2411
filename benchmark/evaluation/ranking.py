"""The ranking scenario: robrank's measures under an attack made for one of them."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F

from attacks.ranking import Measure, measure_of
from benchmark.core.errors import BenchmarkError
from benchmark.evaluation.pool_embeddings import PoolEmbeddings
from benchmark.evaluation.scenario import SCENARIOS, Scenario, ScenarioScore


@SCENARIOS.register("ranking")
class Ranking(Scenario):
    """Each image is attacked for one measure of rankings; all other images of the pool are clean.

    Metrics of a randomised model are means over repeats; targets are drawn from the mean of its clean
    embeddings.
    """

    exclusive: ClassVar[bool] = True

    def score(self, embeddings: PoolEmbeddings) -> ScenarioScore:
        """Scores the measure that the attack was made for.

        Returns:
            The measure's metrics by name, and with the prefix `constant_` those of a constant embedding.

        Raises:
            BenchmarkError: when the attack was not made for this scenario, two images have the same id, or
                queries and gallery are different images.
        """
        measure = self._measure(embeddings)
        if embeddings.has_query_split:
            raise BenchmarkError("Ranking: its measures need a pool in which each image queries all others.")
        if len(embeddings.ids.unique()) != len(embeddings.ids):
            raise BenchmarkError("Ranking: the pool has two images of one id.")
        labels = embeddings.labels
        clean = [embeddings.clean(repeat) for repeat in range(embeddings.repeats)]
        mean_clean = F.normalize(torch.stack(clean).mean(0)) if len(clean) > 1 else clean[0]
        targets = measure.targets(mean_clean, labels, embeddings.ids)
        each = [
            measure.scores(clean[repeat], embeddings.attacked(repeat), labels, targets)
            for repeat in range(embeddings.repeats)
        ]
        metrics = {name: sum(values[name] for values in each) / len(each) for name in each[0]}
        constant = torch.ones(len(labels), 1)
        of_constant = measure.scores(constant, constant, labels, targets)
        return ScenarioScore(metrics | {f"constant_{name}": value for name, value in of_constant.items()})

    def _measure(self, embeddings: PoolEmbeddings) -> Measure:
        """The measure that the attack was made for."""
        attack = embeddings.attack
        measure = measure_of(attack) if attack is not None and self.name in attack.made_for() else None
        if measure is None:
            what = "clean images" if attack is None else attack.spec
            raise BenchmarkError(f"The scenario ranking scores only attacks made for it, not {what}.")
        return measure
