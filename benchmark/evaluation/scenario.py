"""What a scenario is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from benchmark.core.parameters import Parameters
from benchmark.core.registry import Registry
from benchmark.evaluation.pool_embeddings import PoolEmbeddings


@dataclass(frozen=True)
class ScenarioScore:
    """What a scenario says of one model under one attack.

    Attributes:
        metrics: figures as fractions, by name.
        arrays: what worst cases, rank intervals and pictures are made from.
        diagnostics: what the checks for gradient masking are decided on.
    """

    metrics: dict[str, float]
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    diagnostics: dict[str, float] = field(default_factory=dict)


class Scenario(Parameters):
    """How a pool is used, and what of it is attacked; subclasses implement `score`.

    Attributes:
        exclusive: whether it scores only attacks that name it among their scenarios.
    """

    exclusive: ClassVar[bool] = False

    @property
    def share(self) -> float:
        """Share of the pool that is attacked, in (0, 1]; scenarios with the same share share an attack."""
        return 1.0

    def score(self, views: PoolEmbeddings) -> ScenarioScore:
        """Scores one pool.

        Raises:
            BenchmarkError: when the embeddings are not numbers, or the pool cannot be scored.
        """
        raise NotImplementedError


SCENARIOS: Registry[Scenario] = Registry("scenario", Scenario)
