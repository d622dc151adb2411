"""The leaderboard's tables: one for each data set, backbone, loss, norm, eps and compute mode."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from functools import cached_property
from math import isnan, nan

from benchmark.records import ModelRecord
from benchmark.report.cell_results import CLUSTERING, RETRIEVAL, CellResult, Run
from benchmark.report.checks import RowCheck, named, over_seeds
from benchmark.report.style import shown
from benchmark.report.worst_case import deviation, lowest, mean, worst_queries

SAME = 1e-9
"""Two budgets that differ by less are one."""


@dataclass(frozen=True, order=True)
class TableKey:
    """What all the rows of a table share."""

    dataset: str
    backbone: str
    loss: str
    norm: str
    eps: float
    compute: str

    @property
    def trained(self) -> str:
        """How its models came to be, in words."""
        return f"{shown(self.dataset)}, {shown(self.backbone)}, {self.loss}, {mode_words(self.compute)}"


@dataclass(frozen=True)
class SeedFigures:
    """The figures of one trained model; nan where there is none.

    Attributes:
        worst_cell: the clustering cell that `worst_ami` is from.
    """

    seed: int
    clean_ami: float = nan
    clean_nmi: float = nan
    clean_r1: float = nan
    worst_ami: float = nan
    worst_nmi: float = nan
    worst_r1: float = nan
    worst_cell: CellResult | None = None


@dataclass
class Row:
    """A defense in a table, over its seeds.

    Attributes:
        reference: shown without a rank.
        seeds: figures of each seed that the grid holds.
        outcomes: every cell that the row or its pictures rest on.
        models: records of its trainings.
        checks: what each check says of its figures.
        rank: its place and the 95 % interval of that; None for a reference, or without a figure to rank by.
    """

    defense: str
    eps: float
    reference: bool
    seeds: list[SeedFigures]
    outcomes: list[CellResult]
    models: list[ModelRecord]
    checks: dict[str, RowCheck]
    rank: int | None = None
    rank_low: int | None = None
    rank_high: int | None = None

    def mean(self, name: str) -> float:
        """Mean over the seeds of a field of SeedFigures."""
        return mean(getattr(seed, name) for seed in self.seeds)

    def std(self, name: str) -> float:
        """Sample standard deviation over the seeds of a field of SeedFigures; nan for one seed."""
        return deviation(getattr(seed, name) for seed in self.seeds)

    def training(self, name: str) -> float:
        """Mean over the seeds of a field of the training's record."""
        return mean(getattr(model, name) for model in self.models if model.status == "done")

    @cached_property
    def n_seeds(self) -> int:
        """The number of seeds with at least one figure."""
        return len({outcome.key.seed for outcome in self.outcomes if outcome.done})

    @cached_property
    def failed(self) -> list[CellResult]:
        """The cells that failed or were not run."""
        return [outcome for outcome in self.outcomes if outcome.status == "failed"]

    @property
    def failing(self) -> list[str]:
        """The checks that it fails: its figures are not to be believed."""
        return named(self.checks, "fail")

    def attacked(self, scenario: str) -> dict[str, list[CellResult]]:
        """The done cells at the table's eps, by attack; for retrieval those of the suite."""
        cells: dict[str, list[CellResult]] = defaultdict(list)
        for outcome in self.outcomes:
            if outcome.done and at_eps(outcome, self.eps) and counts(outcome, scenario):
                cells[outcome.key.attack].append(outcome)
        return dict(cells)

    def standalone(self, scenario: str, metric: str) -> dict[str, float]:
        """Each attack's own figure at the table's eps, mean over the seeds."""
        return {
            attack: mean(cell.metric(metric) for cell in cells)
            for attack, cells in self.attacked(scenario).items()
        }

    def worst_attack(self, scenario: str, metric: str) -> str:
        """The attack with the lowest standalone figure, by name in a tie; empty when there is none."""
        figures = {
            attack: value for attack, value in self.standalone(scenario, metric).items() if not isnan(value)
        }
        return min(figures, key=lambda attack: (figures[attack], attack), default="")


@dataclass
class Table:
    """One leaderboard; its rows stand in the order in which they are shown.

    Attributes:
        lead: whether it is of the compute mode asked for first, the only one that has every board and figure.
    """

    key: TableKey
    suite: str
    lead: bool = True
    rows: list[Row] = field(default_factory=list)

    def has(self, scenario: str) -> bool:
        """Whether the grid holds this scenario here."""
        return any(outcome.key.scenario == scenario for row in self.rows for outcome in row.outcomes)

    @property
    def attacks(self) -> list[str]:
        """The attacks of the suite, in alphabetical order."""
        found = {
            outcome.key.attack
            for row in self.rows
            for outcome in row.outcomes
            if outcome.ref.role == "suite" and at_eps(outcome, self.key.eps)
        }
        return sorted(found)


def mode_words(compute: str) -> str:
    """A compute mode in words, as in "equal passes"."""
    return compute.replace("-", " ")


def at_eps(outcome: CellResult, eps: float) -> bool:
    """Whether a cell is an attacked one of that budget."""
    return outcome.ref.role != "clean" and abs(outcome.key.eps - eps) < SAME


def counts(outcome: CellResult, scenario: str) -> bool:
    """Whether an attacked cell counts towards a scenario's worst case: any for clustering, or the suite's."""
    return outcome.key.scenario == scenario and (scenario == CLUSTERING or outcome.ref.role == "suite")


def collect(run: Run) -> list[Table]:
    """Builds the tables of a run, with rows in alphabetical order and without ranks."""
    keys = sorted(
        {_table_key(outcome) for outcome in run.outcomes if outcome.ref.role == "suite"},
        # L_inf before L_2: the norm that models are trained in comes first.
        key=lambda key: (key.dataset, key.backbone, key.loss, key.norm != "linf", key.eps, key.compute),
    )
    return [_table(run, key) for key in keys]


def _table_key(outcome: CellResult) -> TableKey:
    key = outcome.key
    return TableKey(key.dataset, key.backbone, key.loss, key.norm, key.eps, outcome.compute)


def _table(run: Run, key: TableKey) -> Table:
    by_defense: dict[str, list[CellResult]] = defaultdict(list)
    for outcome in run.outcomes:
        if _belongs(outcome, key):
            by_defense[outcome.key.defense].append(outcome)
    table = Table(key, run.manifest.suite, lead=key.compute == run.lead)
    for defense, outcomes in sorted(by_defense.items()):
        ids = sorted({outcome.ref.model_id for outcome in outcomes})
        seeds = sorted({outcome.key.seed for outcome in outcomes})
        table.rows.append(
            Row(
                defense=defense,
                eps=key.eps,
                reference=defense in run.manifest.references,
                seeds=[
                    _figures(run, key, seed, [o for o in outcomes if o.key.seed == seed]) for seed in seeds
                ],
                outcomes=outcomes,
                models=[run.models[model] for model in ids if model in run.models],
                checks=over_seeds([run.checks(model, key.norm, key.eps) for model in ids]),
            )
        )
    return table


def _belongs(outcome: CellResult, table: TableKey) -> bool:
    key = outcome.key
    trained = key.dataset, key.backbone, key.loss, outcome.compute
    if trained != (table.dataset, table.backbone, table.loss, table.compute):
        return False
    if outcome.ref.role == "clean":
        return True
    if key.norm != table.norm:
        return False
    # Another table's suite enters this one only where a smaller budget can lower the worst AMI.
    below = key.scenario == CLUSTERING and key.eps < table.eps
    return outcome.ref.role == "curve" or at_eps(outcome, table.eps) or below


def _figures(run: Run, key: TableKey, seed: int, outcomes: list[CellResult]) -> SeedFigures:
    clean = {outcome.key.scenario: outcome for outcome in outcomes if outcome.ref.role == "clean"}
    figures: dict[str, float] = {}
    for scenario, metrics in ((CLUSTERING, ("ami", "nmi")), (RETRIEVAL, ("r1",))):
        for metric in metrics:
            figures[f"clean_{metric}"] = clean[scenario].metric(metric) if scenario in clean else nan
    worst_cell = None
    # A worst case made of the clean pass alone would flatter a row whose attacks all failed: it stays empty.
    if any(outcome.done and at_eps(outcome, key.eps) and counts(outcome, CLUSTERING) for outcome in outcomes):
        pool = [o for o in outcomes if o.key.scenario == CLUSTERING and o.key.eps < key.eps + SAME]
        worst_cell, worst_nmi = lowest(pool, "ami"), lowest(pool, "nmi")
        figures["worst_ami"] = worst_cell.metric("ami") if worst_cell else nan
        figures["worst_nmi"] = worst_nmi.metric("nmi") if worst_nmi else nan
    queries = worst_queries(run, retrieval_cells(outcomes, key.eps))
    if queries is not None:
        figures["worst_r1"] = float(queries.mean())
    return SeedFigures(seed=seed, worst_cell=worst_cell, **figures)


def retrieval_cells(outcomes: list[CellResult], eps: float) -> list[CellResult]:
    """The cells of one model that its worst-case R@1 is made of; none unless an attack is done."""
    attacked = [o for o in outcomes if o.done and at_eps(o, eps) and counts(o, RETRIEVAL)]
    clean = [o for o in outcomes if o.done and o.ref.role == "clean" and o.key.scenario == RETRIEVAL]
    return clean + attacked if attacked else []
