"""The leaderboard's tables: one for each data set, backbone, loss, norm, eps and compute mode."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import nan

from benchmark.core.spec import parse_spec
from benchmark.report.cell_results import CLUSTERING, RETRIEVAL, CellResult, Run
from benchmark.report.checks import over_seeds
from benchmark.report.differences import Differences
from benchmark.report.display_names import NOT_TRAINED, DisplayNames
from benchmark.report.embed_costs import set_embed_costs
from benchmark.report.rows import SAME, Row, SeedScores, counts
from benchmark.report.sources import source
from benchmark.report.style import budget
from benchmark.report.worst_case import lowest, worst_queries

EQUAL_PASSES = "equal-passes"
"""The compute mode in which every training is to cost the same."""


@dataclass(frozen=True, order=True)
class TableKey:
    """The setting that all rows of a table share; data set and backbone as full specs."""

    dataset: str
    backbone: str
    loss: str
    norm: str
    eps: float
    compute: str

    @property
    def setting(self) -> tuple[str, str, str, str]:
        """What its models share: data set, backbone, loss and compute mode."""
        return self.dataset, self.backbone, self.loss, self.compute


@dataclass
class Table:
    """One leaderboard; its rows stand in the order in which they are shown.

    Attributes:
        dataset, backbone, loss: the names that readers see.
        names: the names of everything else.
        lead: whether it is of the compute mode asked for first, the only one that has every board and plot.
        differences: of its ranked rows, by metric, "ami" or "r1"; set with the ranks.
    """

    key: TableKey
    names: DisplayNames
    suite: str
    lead: bool = True
    rows: list[Row] = field(default_factory=list)
    differences: dict[str, Differences] = field(default_factory=dict)

    def __post_init__(self) -> None:
        key = self.key
        self.dataset, self.backbone, self.loss = map(self.names.short, (key.dataset, key.backbone, key.loss))

    @property
    def trained(self) -> str:
        """Data set, backbone, loss and compute mode of its models, in words; without what does not apply."""
        key = self.key
        return ", ".join(
            [*self.names.setting(key.dataset, key.backbone, key.loss), *_mode_parts(key.compute)]
        )

    @property
    def heading(self) -> str:
        """The same with the budget, without parameters that all data sets or backbones of the run share."""
        key = self.key
        names = [self.names.brief(spec) for spec in (key.dataset, key.backbone) if spec != NOT_TRAINED]
        loss = self.names.setting(key.loss)
        return ", ".join([*names, *loss, budget(key.norm, key.eps), *_mode_parts(key.compute)])

    def settled(self, one: Row, other: Row, metric: str) -> bool | None:
        """Whether the worst cases of two rows differ by more than chance; None where that cannot be said.

        Args:
            one: a row.
            other: another.
            metric: "ami" or "r1".
        """
        found = self.differences.get(metric)
        return None if found is None else found.settled(one.defense, other.defense)

    @property
    def own_models(self) -> list[Row]:
        """The rows of the user's own models."""
        return [row for row in self.rows if row.own]

    @property
    def noun(self) -> str:
        """What its rows are: "defense", or "model" where one was not trained here."""
        return "model" if self.own_models else "defense"

    def has(self, scenario: str) -> bool:
        """Whether the table has cells of a scenario."""
        return any(cell.key.scenario == scenario for row in self.rows for cell in row.cells)

    @property
    def attacks(self) -> list[str]:
        """The attacks that count towards a worst case at the table's eps, in alphabetical order.

        They are those of the suite, and of the plot over eps those on clustering.
        """
        found = {
            cell.key.attack
            for row in self.rows
            for cell in row.of_budget
            if cell.ref.role != "clean"
            and (cell.ref.role == "suite" or (cell.key.scenario == CLUSTERING and counts(cell, CLUSTERING)))
        }
        return sorted(found)

    @property
    def only_noise(self) -> bool:
        """Whether nothing was tried but random noise, the control that every attack must beat."""
        return {parse_spec(attack).name for attack in self.attacks} == {"noise"}


def mode_words(compute: str) -> str:
    """A compute mode in words, as in "equal passes"."""
    return compute.replace("-", " ")


def _mode_parts(compute: str) -> list[str]:
    return [] if compute == NOT_TRAINED else [mode_words(compute)]


def collect(run: Run) -> list[Table]:
    """Builds the tables of a run, with rows in alphabetical order and without ranks."""

    def order(key: TableKey) -> tuple[str, str, str, bool, float, str, TableKey]:
        # L_inf before L_2: the norm that models are trained in comes first.
        names = run.names.short(key.dataset), run.names.short(key.backbone)
        return (*names, run.names.short(key.loss), key.norm != "linf", key.eps, key.compute, key)

    keys = {_table_key(cell) for cell in run.table_cells if cell.ref.role == "suite"}
    lead = run.lead
    return [_table(run, key, lead=key.compute == lead) for key in sorted(keys, key=order)]


def _table_key(cell: CellResult) -> TableKey:
    key = cell.key
    return TableKey(key.dataset, key.backbone, key.loss, key.norm, key.eps, cell.compute)


def _table(run: Run, key: TableKey, lead: bool) -> Table:
    by_defense: dict[str, list[CellResult]] = defaultdict(list)
    for cell in _cells_of(run, key):
        by_defense[cell.key.defense].append(cell)
    table = Table(key, run.names, run.manifest.suite, lead=lead)
    for defense, cells in sorted(by_defense.items(), key=lambda item: run.names.short(item[0])):
        ids = sorted({cell.ref.model_id for cell in cells})
        base = defense.partition("[")[0]
        row = Row(
            defense=defense,
            name=run.names.short(defense),
            eps=key.eps,
            reference=defense in run.manifest.references,
            seeds=[],
            cells=cells,
            models=[run.models[model] for model in ids if model in run.models],
            checks=over_seeds(run.manifest.checks, [run.checks(model, key.norm, key.eps) for model in ids]),
            source=source(run.manifest, defense),
            unranked=run.manifest.unranked.get(defense, ""),
            control_of=tuple(run.manifest.controls.get(base, ())),
            controls=tuple(name for name, of in run.manifest.controls.items() if base in of),
        )
        row.seeds = [_scores(run, row, seed) for seed in row.by_seed]
        table.rows.append(row)
    set_embed_costs(table.rows)
    return table


def _cells_of(run: Run, table: TableKey) -> Iterator[CellResult]:
    """The cells of a table: clean ones, those at its budget, those of curves, and weaker ones on clusters."""
    weakest, strongest = table.eps - SAME, table.eps + SAME
    for cell in run.of_setting(*table.setting):
        role, key = cell.ref.role, cell.key
        # A smaller budget can lower the worst AMI.
        attacked = key.eps < strongest and (key.scenario == CLUSTERING or key.eps > weakest)
        if role == "clean" or (key.norm == table.norm and (role == "curve" or attacked)):
            yield cell


def _scores(run: Run, row: Row, seed: int) -> SeedScores:
    cells = row.by_seed[seed]
    clean = {cell.key.scenario: cell for cell in cells if cell.ref.role == "clean"}
    scores: dict[str, float] = {}
    for scenario, metrics in ((CLUSTERING, ("ami", "nmi")), (RETRIEVAL, ("r1",))):
        for metric in metrics:
            scores[f"clean_{metric}"] = clean[scenario].metric(metric) if scenario in clean else nan
    worst_cell = None
    # A worst case of the clean images alone would flatter a row whose attacks all failed: it stays empty.
    if any(cell.key.seed == seed for found in row.attacked(CLUSTERING).values() for cell in found):
        pool = [cell for cell in cells if cell.key.scenario == CLUSTERING and cell.key.eps < row.eps + SAME]
        worst_cell, worst_nmi = lowest(pool, "ami"), lowest(pool, "nmi")
        scores["worst_ami"] = worst_cell.metric("ami") if worst_cell else nan
        scores["worst_nmi"] = worst_nmi.metric("nmi") if worst_nmi else nan
    queries = worst_queries(run, row.retrieval_cells(seed))
    if queries is not None:
        scores["worst_r1"] = float(queries.mean())
    return SeedScores(seed=seed, worst_cell=worst_cell, **scores)
