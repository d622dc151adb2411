"""The leaderboard's tables: one for each data set, backbone, loss, norm, eps and compute mode."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from functools import cached_property
from math import isnan, nan

from benchmark.records import ModelRecord
from benchmark.report.cell_results import CLUSTERING, RETRIEVAL, CellResult, Run
from benchmark.report.checks import RowCheck, over_seeds, with_status
from benchmark.report.worst_case import deviation, lowest, mean, worst_queries

SAME = 1e-9
"""Budgets that differ by less are the same."""


@dataclass(frozen=True, order=True)
class TableKey:
    """The setting that all rows of a table share; data set and backbone as full specs."""

    dataset: str
    backbone: str
    loss: str
    norm: str
    eps: float
    compute: str


@dataclass(frozen=True)
class SeedScores:
    """The scores of one trained model as fractions; nan where there is none.

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
        seeds: scores of each seed that the grid holds.
        cells: every cell that the row or its plots are made from.
        models: records of its trainings.
        checks: the result of each check of the run, in the order of the columns.
        rank: the rank, and the 95 % interval of it; None for a reference, or without a score to rank by.
    """

    defense: str
    eps: float
    reference: bool
    seeds: list[SeedScores]
    cells: list[CellResult]
    models: list[ModelRecord]
    checks: dict[str, RowCheck]
    rank: int | None = None
    rank_low: int | None = None
    rank_high: int | None = None

    def mean(self, name: str) -> float:
        """Mean over the seeds of a field of SeedScores."""
        return mean(getattr(seed, name) for seed in self.seeds)

    def std(self, name: str) -> float:
        """Sample standard deviation over the seeds of a field of SeedScores; nan for one seed."""
        return deviation(getattr(seed, name) for seed in self.seeds)

    def training(self, name: str) -> float:
        """Mean over the seeds of a field of the training's record."""
        return mean(getattr(model, name) for model in self.models if model.status == "done")

    @cached_property
    def n_seeds(self) -> int:
        """The number of seeds with at least one done cell."""
        return len({cell.key.seed for cell in self.cells if cell.done})

    @cached_property
    def failed(self) -> list[CellResult]:
        """The cells that failed or were not run."""
        return [cell for cell in self.cells if cell.status == "failed"]

    @property
    def failing(self) -> list[str]:
        """Names of the checks that the row fails; with any, the scores are not reliable."""
        return with_status(self.checks, "fail")

    def attacked(self, scenario: str) -> dict[str, list[CellResult]]:
        """The done cells at the table's eps, by attack; for retrieval those of the suite."""
        cells: dict[str, list[CellResult]] = defaultdict(list)
        for cell in self.cells:
            if cell.done and at_eps(cell, self.eps) and counts(cell, scenario):
                cells[cell.key.attack].append(cell)
        return dict(cells)

    def standalone(self, scenario: str, metric: str) -> dict[str, float]:
        """Each attack's own metric at the table's eps, mean over the seeds."""
        return {
            attack: mean(cell.metric(metric) for cell in cells)
            for attack, cells in self.attacked(scenario).items()
        }

    def worst_attack(self, scenario: str, metric: str) -> str:
        """The attack with the lowest standalone metric, by name in a tie; empty when there is none."""
        values = {
            attack: value for attack, value in self.standalone(scenario, metric).items() if not isnan(value)
        }
        return min(values, key=lambda attack: (values[attack], attack), default="")


@dataclass
class Table:
    """One leaderboard; its rows stand in the order in which they are shown.

    Attributes:
        dataset, backbone: the names that readers see.
        lead: whether it is of the compute mode asked for first, the only one that has every board and plot.
    """

    key: TableKey
    dataset: str
    backbone: str
    suite: str
    lead: bool = True
    rows: list[Row] = field(default_factory=list)

    @property
    def trained(self) -> str:
        """Data set, backbone, loss and compute mode of its models, in words."""
        return f"{self.dataset}, {self.backbone}, {self.key.loss}, {mode_words(self.key.compute)}"

    def has(self, scenario: str) -> bool:
        """Whether the table has cells of a scenario."""
        return any(cell.key.scenario == scenario for row in self.rows for cell in row.cells)

    @property
    def attacks(self) -> list[str]:
        """The attacks of the suite, in alphabetical order."""
        found = {
            cell.key.attack
            for row in self.rows
            for cell in row.cells
            if cell.ref.role == "suite" and at_eps(cell, self.key.eps)
        }
        return sorted(found)


def mode_words(compute: str) -> str:
    """A compute mode in words, as in "equal passes"."""
    return compute.replace("-", " ")


def at_eps(cell: CellResult, eps: float) -> bool:
    """Whether a cell is attacked with the budget `eps`."""
    return cell.ref.role != "clean" and abs(cell.key.eps - eps) < SAME


def counts(cell: CellResult, scenario: str) -> bool:
    """Whether an attacked cell counts towards a scenario's worst case: any for clustering, or the suite's."""
    return cell.key.scenario == scenario and (scenario == CLUSTERING or cell.ref.role == "suite")


def collect(run: Run) -> list[Table]:
    """Builds the tables of a run, with rows in alphabetical order and without ranks."""

    def order(key: TableKey) -> tuple[str, str, str, bool, float, str, TableKey]:
        # L_inf before L_2: the norm that models are trained in comes first.
        names = run.names.short(key.dataset), run.names.short(key.backbone)
        return (*names, key.loss, key.norm != "linf", key.eps, key.compute, key)

    keys = {_table_key(cell) for cell in run.table_cells if cell.ref.role == "suite"}
    return [_table(run, key) for key in sorted(keys, key=order)]


def _table_key(cell: CellResult) -> TableKey:
    key = cell.key
    return TableKey(key.dataset, key.backbone, key.loss, key.norm, key.eps, cell.compute)


def _table(run: Run, key: TableKey) -> Table:
    by_defense: dict[str, list[CellResult]] = defaultdict(list)
    for cell in run.table_cells:
        if _belongs(cell, key):
            by_defense[cell.key.defense].append(cell)
    table = Table(
        key,
        run.names.short(key.dataset),
        run.names.short(key.backbone),
        run.manifest.suite,
        lead=key.compute == run.lead,
    )
    for defense, cells in sorted(by_defense.items()):
        ids = sorted({cell.ref.model_id for cell in cells})
        seeds = sorted({cell.key.seed for cell in cells})
        table.rows.append(
            Row(
                defense=defense,
                eps=key.eps,
                reference=defense in run.manifest.references,
                seeds=[
                    _scores(run, key, seed, [cell for cell in cells if cell.key.seed == seed])
                    for seed in seeds
                ],
                cells=cells,
                models=[run.models[model] for model in ids if model in run.models],
                checks=over_seeds(
                    run.manifest.checks, [run.checks(model, key.norm, key.eps) for model in ids]
                ),
            )
        )
    return table


def _belongs(cell: CellResult, table: TableKey) -> bool:
    key = cell.key
    trained = key.dataset, key.backbone, key.loss, cell.compute
    if trained != (table.dataset, table.backbone, table.loss, table.compute):
        return False
    if cell.ref.role == "clean":
        return True
    if key.norm != table.norm:
        return False
    # Another table's suite enters this one only where a smaller budget can lower the worst AMI.
    below = key.scenario == CLUSTERING and key.eps < table.eps
    return cell.ref.role == "curve" or at_eps(cell, table.eps) or below


def _scores(run: Run, key: TableKey, seed: int, cells: list[CellResult]) -> SeedScores:
    clean = {cell.key.scenario: cell for cell in cells if cell.ref.role == "clean"}
    scores: dict[str, float] = {}
    for scenario, metrics in ((CLUSTERING, ("ami", "nmi")), (RETRIEVAL, ("r1",))):
        for metric in metrics:
            scores[f"clean_{metric}"] = clean[scenario].metric(metric) if scenario in clean else nan
    worst_cell = None
    # A worst case of the clean images alone would flatter a row whose attacks all failed: it stays empty.
    if any(cell.done and at_eps(cell, key.eps) and counts(cell, CLUSTERING) for cell in cells):
        pool = [cell for cell in cells if cell.key.scenario == CLUSTERING and cell.key.eps < key.eps + SAME]
        worst_cell, worst_nmi = lowest(pool, "ami"), lowest(pool, "nmi")
        scores["worst_ami"] = worst_cell.metric("ami") if worst_cell else nan
        scores["worst_nmi"] = worst_nmi.metric("nmi") if worst_nmi else nan
    queries = worst_queries(run, retrieval_cells(cells, key.eps))
    if queries is not None:
        scores["worst_r1"] = float(queries.mean())
    return SeedScores(seed=seed, worst_cell=worst_cell, **scores)


def retrieval_cells(cells: list[CellResult], eps: float) -> list[CellResult]:
    """The cells of one model that its worst-case R@1 is computed from; none unless an attack is done."""
    done = [cell for cell in cells if cell.done]
    attacked = [cell for cell in done if at_eps(cell, eps) and counts(cell, RETRIEVAL)]
    clean = [cell for cell in done if cell.ref.role == "clean" and cell.key.scenario == RETRIEVAL]
    return clean + attacked if attacked else []
