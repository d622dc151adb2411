"""Attacks on the whole pool that are left out, because others already brought a metric to chance."""

from __future__ import annotations

from collections.abc import Iterable

from benchmark.core.errors import BenchmarkError
from benchmark.evaluation import SCENARIOS, ScenarioScore
from benchmark.jobs.standing import Standing
from benchmark.records import Record, Store

CHANCE_AMI = 0.0
"""AMI of random clusters."""


class AtChance(Record):
    """Leaves out an attack where others at its budget, or at a smaller one, brought its metric to chance.

    Attributes:
        queries: ids of cells of single queries: the clean images, and attacks.
        clusters: ids of cells of clusters. With any, the lowest AMI in them decides, else R@1 after all of
            `queries`.
    """

    queries: tuple[str, ...] = ()
    clusters: tuple[str, ...] = ()

    @property
    def cells(self) -> tuple[str, ...]:
        """Ids of all these cells."""
        return (*self.queries, *self.clusters)

    def reason(self, store: Store) -> str:
        """Says why the attack is left out, in one sentence; empty where it is to run.

        Raises:
            BenchmarkError: when a cell is not done.
        """
        if not self.clusters:
            return Standing.read(store, self.queries).reason_to_stop(True)
        lowest = min(_ami(store, cell) for cell in self.clusters)
        if lowest > CHANCE_AMI:
            return ""
        return (
            f"Not attacked: after the attacks before it AMI is {100 * lowest:.1f} %, at or below chance "
            f"({100 * CHANCE_AMI:.1f} %)."
        )

    def unattacked(self, store: Store, scenarios: Iterable[str]) -> dict[str, ScenarioScore | str]:
        """The scores of the attack that is left out: of single queries those of the others, else none."""
        standing = Standing.read(store, self.queries) if self.queries else None
        return {
            scenario: standing.unattacked()
            if standing is not None and SCENARIOS.build(scenario).per_query
            else ScenarioScore({})
            for scenario in scenarios
        }


def _ami(store: Store, cell: str) -> float:
    record = store.finished(cell)
    if record is None or "ami" not in record.metrics:
        raise BenchmarkError(
            f"The attack is left out where AMI is at or below chance, and cell {cell} has none; run the same "
            "command again."
        )
    return record.metrics["ami"]
