"""Who leads a table, or why no row does: what the conclusion and the title of the first figure both say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isnan

from benchmark.report.cell_results import CLUSTERING, RETRIEVAL
from benchmark.report.escapes import code
from benchmark.report.rows import Row
from benchmark.report.style import budget
from benchmark.report.tables import Table, mode_words

METRICS = ((CLUSTERING, "ami", "AMI"), (RETRIEVAL, "r1", "R@1"))
"""The metrics of the scenarios that have a rank, the one that the rank follows first."""
NAMED = 4
"""Rows that one clause names; of more it says how many."""


@dataclass(frozen=True)
class Standing:
    """Who leads a ranked table.

    Attributes:
        noun: what the rows are.
        reach: the budget, with the compute mode where another table of the run has the same budget.
        metrics: field and name of each metric that ranks follow, of those that the table has.
        ranked: the rows with a rank, in its order.
        best: those that share the first rank.
        scored: the rows that were attacked.
        why: why no row has a rank; empty where one has.
    """

    noun: str
    reach: str
    metrics: list[tuple[str, str]]
    ranked: list[Row]
    best: list[Row]
    scored: list[Row]
    why: str

    @classmethod
    def of(cls, table: Table) -> Standing:
        """Finds who leads a table, whose rows stand in the order of their ranks."""
        metrics = [(metric, name) for scenario, metric, name in METRICS if table.has(scenario)]
        ranked = [row for row in table.rows if row.rank is not None]
        scored = [row for row in table.rows if any(_has_worst(row, metric) for metric, _ in metrics)]
        reach = budget(table.key.norm, table.key.eps)
        if not table.lead:
            reach += f", {mode_words(table.key.compute)}"  # or it would contradict the lead table's sentence
        best = [row for row in ranked if row.rank == 1]
        why = "" if ranked or not metrics else _why(table.rows, table.noun, metrics[0][1])
        return cls(table.noun, reach, metrics, ranked, best, scored, why)

    @property
    def count(self) -> str:
        """How many rows have a rank, as in "7 ranked defenses"."""
        return f"{len(self.ranked)} ranked {self.noun}{'' if len(self.ranked) == 1 else 's'}"

    def say(self, name: Callable[[Row], str], kept: Callable[[Row], str], aside: str = "") -> str:
        """Says who leads, in a sentence without its full stop.

        Args:
            name: writes the name of a row.
            kept: writes what a row keeps under attack.
            aside: what follows the number of ranked rows.
        """
        if not self.metrics:
            return (
                f"No row has a rank: none of the scenarios that were run is one that ranks follow "
                f"({self.reach})"
            )
        if not self.scored:
            return f"There is no rank, since no attack with budget {self.reach} is done on any {self.noun}"
        if not self.ranked:
            shown = "; ".join(f"{name(row)} keeps {kept(row)}" for row in self.scored[:NAMED])
            return f"There is no rank, since {self.why}; under attack ({self.reach}) {shown}"
        first = self.best[0]
        keeps = f"{kept(first)} under attack ({self.reach})"
        if len(self.best) > 1:
            names = listed([name(row) for row in self.best])
            every = "both" if len(self.best) == 2 else "all"
            return f"{names} share the first rank{aside}: {every} keep {keeps}"
        if len(self.ranked) == 1:
            return f"{name(first)}, the only ranked {self.noun}{aside}, keeps {keeps}"
        return f"{name(first)} is the most robust of {self.count}{aside}: it keeps {keeps}"


def listed(names: Sequence[str]) -> str:
    """Joins names, as in "a, b and c"; of many the first, and how many others there are."""
    shown = list(names)
    if len(shown) > NAMED:
        shown = [*shown[: NAMED - 1], f"{len(shown) - NAMED + 1} others"]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def names_of(rows: Sequence[Row]) -> str:
    """The names of rows as code spans, joined as `listed` does."""
    return listed([code(row.name) for row in rows])


def behind(row: Row) -> str:
    """Why a row ranks below all complete rows that fail no check; empty where it does not."""
    return "has failed or missing cells" if row.failed else "fails a check" if row.failing else ""


def _has_worst(row: Row, metric: str) -> bool:
    return not isnan(row.mean(f"worst_{metric}"))


def _why(rows: Sequence[Row], noun: str, decides: str) -> str:
    if all(row.reference for row in rows):
        return "only references were run"
    if any(not row.reference and not row.unranked for row in rows):
        return f"no {noun} has a worst-case {decides}"
    return "no row may have one"
