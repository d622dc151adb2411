"""What a scenario is."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from benchmark.core.parameters import Parameters
from benchmark.core.registry import Registry
from benchmark.evaluation.views import Views


@dataclass(frozen=True)
class ScenarioScore:
    """What a scenario says of one model under one attack.

    Attributes:
        metrics: figures as fractions, by name.
        arrays: what worst cases, rank intervals and pictures are made from.
    """

    metrics: dict[str, float]
    arrays: dict[str, np.ndarray] = field(default_factory=dict)


class Scenario(Parameters):
    """How a pool is used, and what of it is attacked; subclasses implement `score`."""

    def score(self, views: Views) -> ScenarioScore:
        """Scores one pool.

        Raises:
            BenchmarkError: when the embeddings are not numbers, or the pool cannot be scored.
        """
        raise NotImplementedError


SCENARIOS: Registry[Scenario] = Registry("scenario", Scenario)
