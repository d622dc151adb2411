"""A row of a leaderboard as a typed value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isnan, nan

from benchmark.report.cell_results import CLUSTERING, RETRIEVAL
from benchmark.report.checks import summary
from benchmark.report.rows import Row
from benchmark.report.tables import Table


@dataclass(frozen=True)
class Scores:
    """Scores as fractions, means over the seeds; nan where there is none.

    Attributes:
        ami: adjusted mutual information of k-means' clusters with the classes, at most 1.
        nmi: normalized mutual information, in [0, 1].
        r1: Recall@1, in [0, 1].
    """

    ami: float = nan
    nmi: float = nan
    r1: float = nan

    def __str__(self) -> str:
        """The scores in percent, as the leaderboard shows them."""
        named = (("AMI", self.ami), ("R@1", self.r1))
        return ", ".join(f"{name} {100 * value:.1f} %" for name, value in named if not isnan(value)) or "-"


@dataclass(frozen=True)
class RowScores:
    """One row of one table: a defense or a model, in one setting and at one budget.

    Attributes:
        name: what tables show.
        spec: its full spec.
        dataset, backbone, loss, compute: the setting, as tables show it.
        norm, eps: the budget; eps in units of pixels in [0, 1].
        rank: from 1; None for a reference, or where there is no score to rank by.
        rank_interval: the 95 % interval of the rank; None without one.
        reference: whether it is shown for comparison only.
        unranked: why it has no rank though it is no reference; empty where it may have one.
        source: "own model", "plugin:HASH", or empty for a defense of the benchmark.
        seeds: the training seeds.
        clean, worst: scores of clean images, and in the worst case over the attacks.
        worst_attacks: the attack with the lowest score of its own, of those that all seeds were attacked
            with, by scenario; empty where none is done.
        attacks: the scores of each attack of the suite alone; without R@1 for an attack that was made only on
            the queries that still stood after others.
        checks: "pass", "fail" or "not run" of each check for gradient masking, by its name.
        checks_summary: the checks in a few words: "pass", "fail: unbounded", "7 of 10 pass" or "not run".
        failed_cells: number of the row's cells that failed.
        train_cost: cost of the training, as a multiple of vanilla's; nan where unknown.
        embed_cost: cost of embedding an image; nan where unknown.
    """

    name: str
    spec: str
    dataset: str
    backbone: str
    loss: str
    compute: str
    norm: str
    eps: float
    rank: int | None
    rank_interval: tuple[int, int] | None
    reference: bool
    unranked: str
    source: str
    seeds: tuple[int, ...]
    clean: Scores
    worst: Scores
    worst_attacks: Mapping[str, str]
    attacks: Mapping[str, Scores]
    checks: Mapping[str, str]
    checks_summary: str
    failed_cells: int
    train_cost: float
    embed_cost: float

    @property
    def failing(self) -> tuple[str, ...]:
        """Names of the checks that fail; with any, the scores look better than they are."""
        return tuple(name for name, status in self.checks.items() if status == "fail")


def make_row(table: Table, row: Row) -> RowScores:
    """Builds the typed value of a table's row.

    Args:
        table: the table.
        row: its row, ranked.
    """
    worst_attacks = {
        scenario: attack
        for scenario, metric in ((CLUSTERING, "ami"), (RETRIEVAL, "r1"))
        if (attack := row.worst_attack(scenario, metric))
    }
    low, high = row.rank_low, row.rank_high
    return RowScores(
        name=row.name,
        spec=row.defense,
        dataset=table.dataset,
        backbone=table.backbone,
        loss=table.loss,
        compute=table.key.compute,
        norm=table.key.norm,
        eps=table.key.eps,
        rank=row.rank,
        rank_interval=None if low is None or high is None else (low, high),
        reference=row.reference,
        unranked=row.unranked,
        source=row.source,
        seeds=tuple(seed.seed for seed in row.seeds),
        clean=_scores(row, "clean"),
        worst=_scores(row, "worst"),
        worst_attacks=worst_attacks,
        attacks=_alone(row),
        checks={check: result.status for check, result in row.checks.items()},
        checks_summary=summary(row.checks),
        failed_cells=len(row.failed),
        train_cost=row.training("relative_cost"),
        embed_cost=row.embed_cost,
    )


def _scores(row: Row, case: str) -> Scores:
    return Scores(*(row.mean(f"{case}_{metric}") for metric in ("ami", "nmi", "r1")))


def _alone(row: Row) -> dict[str, Scores]:
    ami, nmi = (row.standalone(CLUSTERING, metric) for metric in ("ami", "nmi"))
    r1 = row.standalone(RETRIEVAL, "r1")
    return {
        attack: Scores(ami.get(attack, nan), nmi.get(attack, nan), r1.get(attack, nan))
        for attack in sorted({*ami, *r1})
    }
