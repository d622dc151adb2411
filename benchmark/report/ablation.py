"""The contribution of each attack of a suite: how far the worst case rises without it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import isnan, nan

from benchmark.report.boards import lines, scored_here
from benchmark.report.cell_results import CLUSTERING, RETRIEVAL, CellResult, Run
from benchmark.report.escapes import NONE, code
from benchmark.report.marks import named
from benchmark.report.rows import SAME, Row
from benchmark.report.tables import Table
from benchmark.report.worst_case import mean, worst_queries

AT_MOST = "\u2264 "


@dataclass(frozen=True)
class Ablation:
    """What each attack of a suite adds to the worst cases of a table.

    Attributes:
        board: lines of Markdown, a row for each attack without which some worst case would rise.
        idle: the attacks without which none would.
        falls: whether some worst case would fall, as that of a randomised row can by chance.
    """

    board: list[str] = field(default_factory=list)
    idle: list[str] = field(default_factory=list)
    falls: bool = False


def ablation(run: Run, table: Table) -> Ablation:
    """Computes how far each worst case would rise without one attack.

    Entries are points of AMI and of R@1, means over seeds. An attack without which nothing changes may be
    strongest on another model. Where other attacks were made only on the queries that one left standing, or
    were left out because it left nothing, they might have done as much: the entry is then an upper bound,
    with "≤".

    Args:
        run: where the arrays are.
        table: the table whose attacks are left out in turn.

    Returns:
        What each adds; nothing where the suite has one attack.
    """
    attacks = scored_here(table)
    if len(attacks) < 2:
        return Ablation()
    scored = [_ScoredCells(row) for row in table.rows]
    rises = {attack: [_rise(run, table, cells, attack) for cells in scored] for attack in attacks}
    idle = [attack for attack, found in rises.items() if not any(map(_is_rise, found))]
    shown = [attack for attack in attacks if attack not in idle]
    if not shown:
        return Ablation(idle=idle)
    columns = [("without", "---", [code(table.names.attack(attack)) for attack in shown])]
    columns += [
        (named(row), "---:", [rises[attack][place] for attack in shown])
        for place, row in enumerate(table.rows)
    ]
    falls = any("-" in rises[attack][place] for attack in shown for place in range(len(table.rows)))
    return Ablation(lines(columns), idle, falls)


def _is_rise(shown: str) -> bool:
    """Whether an entry is more than zeros and dashes."""
    return any(character in "123456789" for character in shown)


class _ScoredCells:
    """The cells that the worst cases of a row are computed from, by seed.

    Attributes:
        attacks: those that the row has cells of.
        followed: those of which others were made only on the queries that they left standing.
        spared: those after which attacks on the pool were left out, as these left nothing.
    """

    def __init__(self, row: Row) -> None:
        self.row = row
        self.attacks = {cell.key.attack for cell in row.cells}
        self.followed = _followed(row, row.cells)
        self.spared = _followed(
            row,
            [
                cell
                for cell in row.cells
                if cell.key.scenario == CLUSTERING
                and cell.key.eps < row.eps + SAME
                and cell.record
                and cell.record.attacked_queries == 0
            ],
        )
        self._clustering = {
            seed: [
                (cell.key.attack, cell.metric("ami"))
                for cell in cells
                if cell.key.scenario == CLUSTERING and cell.key.eps < row.eps + SAME
            ]
            for seed, cells in row.by_seed.items()
        }

    def worst_ami(self, seed: int, without: str) -> float:
        """The worst AMI of a seed without an attack; nan when nothing else is scored."""
        scored = (value for attack, value in self._clustering.get(seed, []) if attack != without)
        return min((value for value in scored if not isnan(value)), default=nan)

    def worst_r1(self, run: Run, seed: int, without: str) -> float:
        """The worst R@1 of a seed without an attack; nan when no other is done."""
        kept = [cell for cell in self.row.retrieval_cells(seed) if cell.key.attack != without]
        if all(cell.ref.role == "clean" for cell in kept):
            return nan
        queries = worst_queries(run, kept, own=True)
        return nan if queries is None else float(queries.mean())


def _followed(row: Row, cells: Iterable[CellResult]) -> set[str]:
    """The attacks of a row that some of its cells follow."""
    followed = {found for cell in cells if cell.record for found in cell.record.follows}
    return {cell.key.attack for cell in row.cells if cell.ref.id in followed}


def _rise(run: Run, table: Table, scored: _ScoredCells, attack: str) -> str:
    if attack not in scored.attacks:
        return NONE
    seeds = scored.row.seeds
    rises, bounds = [], []
    if table.has(CLUSTERING):
        rises.append(mean(scored.worst_ami(seed.seed, attack) - seed.worst_ami for seed in seeds))
        bounds.append(attack in scored.spared)
    if table.has(RETRIEVAL):
        rises.append(mean(scored.worst_r1(run, seed.seed, attack) - seed.worst_r1 for seed in seeds))
        bounds.append(attack in scored.followed)
    shown = [
        NONE
        if isnan(rise)
        else "0"
        if -0.0005 < rise < SAME
        else f"{AT_MOST if bound else ''}{100 * rise:+.1f}"
        for rise, bound in zip(rises, bounds, strict=True)
    ]
    return NONE if set(shown) == {NONE} else " / ".join(shown)
