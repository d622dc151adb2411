"""The base class of scenarios, their score and their registry."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from benchmark.core.parameters import Parameters
from benchmark.core.registry import Registry
from benchmark.evaluation.pool_embeddings import PoolEmbeddings


@dataclass(frozen=True)
class ScenarioScore:
    """The score of one model under one attack in one scenario.

    Attributes:
        metrics: values by name, most of them fractions in [0, 1].
        arrays: per-query or per-image values, from which worst cases, rank intervals and plots are computed.
        diagnostics: values that the checks for gradient masking need.
    """

    metrics: dict[str, float]
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    diagnostics: dict[str, float] = field(default_factory=dict)


class Scenario(Parameters):
    """A use of the pool, and which part of the pool is attacked; subclasses implement `score`.

    Attributes:
        exclusive: whether the scenario scores only those attacks that list it among their scenarios.
        per_query: whether its outcome is that of each query under an attack on that query alone: the arrays
            "success" and "queries" of its score, so that a later attack may leave out the others.
    """

    exclusive: ClassVar[bool] = False
    per_query: ClassVar[bool] = False

    @property
    def attacked_fraction(self) -> float:
        """Attacked fraction of the pool, in (0, 1]; scenarios with the same fraction share one attack run."""
        return 1.0

    def score(self, embeddings: PoolEmbeddings) -> ScenarioScore:
        """Scores one pool.

        Raises:
            BenchmarkError: when embeddings are not finite, or the pool cannot be scored.
        """
        raise NotImplementedError


SCENARIOS: Registry[Scenario] = Registry("scenario", Scenario)
