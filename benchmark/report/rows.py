"""A row of a table: one defense or own model, over its seeds."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from math import isnan, nan

from benchmark.records import ModelRecord
from benchmark.report.cell_results import CLUSTERING, RETRIEVAL, CellResult
from benchmark.report.checks import RowCheck, with_status
from benchmark.report.sources import OWN_MODEL
from benchmark.report.worst_case import deviation, mean

SAME = 1e-9
"""Budgets that differ by less are the same."""


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
    """A defense or an own model in a table, over its seeds.

    Attributes:
        defense: its spec.
        name: what readers see in place of the spec.
        reference: shown without a rank.
        seeds: scores of each seed that the grid holds.
        cells: every cell that the row or its plots are made from.
        models: records of its trainings.
        checks: the result of each check of the run, in the order of the columns.
        source: where it comes from, as `sources.source` says.
        unranked: why it has no rank though it is no reference; empty where it may have one.
        control_of: names of the defenses that it is a control of.
        controls: names of the defenses that are its controls.
        embed_cost: the cost of embedding an image, a multiple of what the table says; nan where unknown.
        rank: the rank, and the 95 % interval of it; None for a reference, or without a score to rank by.
    """

    defense: str
    name: str
    eps: float
    reference: bool
    seeds: list[SeedScores]
    cells: list[CellResult]
    models: list[ModelRecord]
    checks: dict[str, RowCheck]
    source: str = ""
    unranked: str = ""
    control_of: tuple[str, ...] = ()
    controls: tuple[str, ...] = ()
    embed_cost: float = nan
    rank: int | None = None
    rank_low: int | None = None
    rank_high: int | None = None

    def mean(self, name: str) -> float:
        """Mean over the seeds of a field of SeedScores."""
        return mean(getattr(seed, name) for seed in self.seeds)

    def std(self, name: str) -> float:
        """Sample standard deviation over the seeds of a field of SeedScores; nan for one seed."""
        return deviation(getattr(seed, name) for seed in self.seeds)

    @property
    def base(self) -> str:
        """The name of its defense, without parameters."""
        return self.defense.partition("[")[0]

    @cached_property
    def randomised(self) -> bool:
        """Whether its models declare that their embeddings are random."""
        return any(cell.record.diagnostics.get("randomised", 0.0) > 0 for cell in self.cells if cell.record)

    @property
    def own(self) -> bool:
        """Whether it is one of the user's own models, which were not trained here."""
        return self.source == OWN_MODEL

    @property
    def trained(self) -> bool:
        """Whether its models were trained in the run."""
        return not self.own and not self.reference

    def training(self, name: str) -> float:
        """Mean over the seeds of a field of the training's record; nan for an own model."""
        return (
            nan if self.own else mean(getattr(model, name) for model in self.models if model.status == "done")
        )

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

    @property
    def tier(self) -> int:
        """0 if it is complete and fails no check, 1 if it fails one, 2 if it lacks cells; 0 ranks first."""
        return 2 if self.failed else int(bool(self.failing))

    # A row holds cells of every smaller budget too, thousands where a run has many: it is gone through once.
    @cached_property
    def of_budget(self) -> list[CellResult]:
        """The cells of clean images and those attacked at the table's eps."""
        return [cell for cell in self.cells if cell.ref.role == "clean" or at_eps(cell, self.eps)]

    @cached_property
    def by_seed(self) -> dict[int, list[CellResult]]:
        """All its cells by seed, in ascending order."""
        found: dict[int, list[CellResult]] = defaultdict(list)
        for cell in self.cells:
            found[cell.key.seed].append(cell)
        return dict(sorted(found.items()))

    @property
    def first_seed(self) -> int:
        """The lowest seed that it has cells of."""
        return next(iter(self.by_seed), 0)

    @cached_property
    def left_out(self) -> dict[str, list[str]]:
        """The attacks that were left out, because nothing was left to attack, by the reason."""
        reasons: dict[str, list[str]] = defaultdict(list)
        for cell in self.cells:
            if cell.done and cell.record and cell.record.attacked_queries == 0:
                reasons[" ".join(cell.record.notes)].append(cell.key.attack)
        return dict(reasons)

    def retrieval_cells(self, seed: int) -> list[CellResult]:
        """The done cells that the worst R@1 of a seed is computed from; none unless an attack is done."""
        return self._retrieval_cells.get(seed, [])

    @cached_property
    def _retrieval_cells(self) -> dict[int, list[CellResult]]:
        clean: dict[int, list[CellResult]] = defaultdict(list)
        attacked: dict[int, list[CellResult]] = defaultdict(list)
        for cell in self.of_budget:
            if not cell.done or cell.key.scenario != RETRIEVAL:
                continue
            if cell.ref.role == "clean":
                clean[cell.key.seed].append(cell)
            elif counts(cell, RETRIEVAL):
                attacked[cell.key.seed].append(cell)
        return {seed: clean[seed] + cells for seed, cells in attacked.items()}

    def attacked(self, scenario: str) -> dict[str, list[CellResult]]:
        """The done cells at the table's eps, by attack; for retrieval those of the suite."""
        cells: dict[str, list[CellResult]] = defaultdict(list)
        for cell in self._attacked:
            if counts(cell, scenario):
                cells[cell.key.attack].append(cell)
        return dict(cells)

    @cached_property
    def _attacked(self) -> list[CellResult]:
        return [cell for cell in self.of_budget if cell.done and cell.ref.role != "clean"]

    def standalone(self, scenario: str, metric: str) -> dict[str, float]:
        """Each attack's own metric at the table's eps, seed means; without attacks that follow others."""
        return self._metrics(scenario, metric, following=False)

    def remaining(self, scenario: str, metric: str) -> dict[str, float]:
        """What is left of a metric after each attack that follows others and those before it, seed means."""
        return self._metrics(scenario, metric, following=True)

    def _metrics(self, scenario: str, metric: str, following: bool) -> dict[str, float]:
        found: dict[str, float] = {}
        for attack, every in self.attacked(scenario).items():
            if cells := [cell for cell in every if cell.follows_others == following]:
                partly = (scenario, attack) in self._partly
                found[attack] = nan if partly else mean(cell.metric(metric) for cell in cells)
        return found

    @cached_property
    def _partly(self) -> set[tuple[str, str]]:
        """Scenarios and attacks of which some seeds were attacked whole, and some not, as nothing was left.

        A mean over the former would be that of the better seeds.
        """
        kinds: dict[tuple[str, str], set[bool]] = defaultdict(set)
        for cell in self._attacked:
            left_out = cell.record is not None and cell.record.attacked_queries == 0
            if left_out or not cell.follows_others:
                kinds[cell.key.scenario, cell.key.attack].add(left_out)
        return {attacked for attacked, found in kinds.items() if len(found) > 1}

    def worst_attack(self, scenario: str, metric: str) -> str:
        """The attack with the lowest standalone metric, by name in a tie; empty when there is none."""
        values = {
            attack: value for attack, value in self.standalone(scenario, metric).items() if not isnan(value)
        }
        return min(values, key=lambda attack: (values[attack], attack), default="")


def at_eps(cell: CellResult, eps: float) -> bool:
    """Whether a cell is attacked with the budget `eps`."""
    return cell.ref.role != "clean" and abs(cell.key.eps - eps) < SAME


def counts(cell: CellResult, scenario: str) -> bool:
    """Whether an attacked cell counts towards a scenario's worst case: the suite's, for clustering any.

    A cell of clusters whose attack was left out has no metrics, and does not count.
    """
    if cell.key.scenario != scenario:
        return False
    if scenario == CLUSTERING:
        return cell.record is None or bool(cell.record.metrics)
    return cell.ref.role == "suite"
