"""The queries that still stand after earlier attacks, and the outcome of one more attack on them alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from benchmark.core.errors import BenchmarkError
from benchmark.evaluation import ScenarioScore
from benchmark.records import Store


@dataclass(frozen=True)
class Standing:
    """The outcome of each query after earlier attacks; a query stands while its success is above 0.

    Attributes:
        before: lowest success of each query over the earlier cells, float32 in [0, 1], shape (k,).
        queries: the query's index in the pool, shape (k,).
        chance: R@1 of a random embedding; 0 where no earlier cell is of clean images.
    """

    before: np.ndarray
    queries: np.ndarray
    chance: float

    @classmethod
    def read(cls, store: Store, cells: Iterable[str]) -> Standing:
        """Reads the earlier cells.

        Args:
            store: the records.
            cells: ids of one cell or more, of one model and one scenario.

        Raises:
            BenchmarkError: when one is not done, or they have different queries.
        """
        found: list[tuple[np.ndarray, np.ndarray]] = []
        chance = 0.0
        for cell in cells:
            record = store.finished(cell)
            arrays = store.arrays(cell) if record is not None else {}
            if record is None or not {"success", "queries"} <= arrays.keys():
                attack = f"{record.key.attack} " if record is not None else ""
                raise BenchmarkError(
                    f"The attack follows {attack}(cell {cell}), whose outcomes of each query are missing; "
                    "run the same command again."
                )
            found.append((arrays["success"], arrays["queries"]))
            chance = record.diagnostics.get("chance", chance)
        successes, queries = zip(*found, strict=True)
        if any(not np.array_equal(other, queries[0]) for other in queries):
            raise BenchmarkError("The attacks that this one follows were scored on different queries.")
        return cls(np.minimum.reduce(successes), queries[0], chance)

    @property
    def images(self) -> Tensor:
        """Indices in the pool of the queries that stand, ascending, int64, shape (t,), on the CPU."""
        return torch.from_numpy(np.sort(self.queries[self.before > 0]).astype(np.int64))

    def reason_to_stop(self, until_chance: bool) -> str:
        """Says why no query is attacked any more, in one sentence; empty where some are to be attacked.

        Args:
            until_chance: whether R@1 at or below that of a random embedding is low enough.
        """
        r1 = float(self.before.mean())
        if not r1 > 0:
            return "Not attacked: no query stands after the attacks before it."
        if until_chance and r1 <= self.chance:
            return (
                f"Not attacked: after the attacks before it R@1 is {100 * r1:.1f} %, at or below chance "
                f"({100 * self.chance:.1f} %)."
            )
        return ""

    def unattacked(self) -> ScenarioScore:
        """The score where no query is attacked any more: that of the earlier attacks."""
        return self._score(self.before, {})

    def after(self, own: ScenarioScore) -> ScenarioScore:
        """The score after one more attack.

        Args:
            own: its own score of a pool in which the queries that do not stand are clean.

        Returns:
            "r1", the mean of the array "success", the lowest success of each query over the earlier attacks
            and this one; the arrays "before" and "own" of both, "queries", and "halves" of `own` where it has
            them. The diagnostics are those of `own`, with its R@1 as "mixed_r1".

        Raises:
            BenchmarkError: when it is about other queries.
        """
        if not np.array_equal(own.arrays["queries"], self.queries):
            raise BenchmarkError("The attack was scored on other queries than those that it follows.")
        score = self._score(own.arrays["success"], {**own.diagnostics, "mixed_r1": own.metrics["r1"]})
        if "halves" in own.arrays:
            score.arrays["halves"] = own.arrays["halves"]
        return score

    def _score(self, own: np.ndarray, diagnostics: dict[str, float]) -> ScenarioScore:
        success = np.minimum(self.before, own)
        return ScenarioScore(
            {"r1": float(success.mean(dtype=np.float64))},
            {"success": success, "before": self.before, "own": own, "queries": self.queries},
            diagnostics,
        )
