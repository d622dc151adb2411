"""The contribution of each attack of a suite: how far the worst case rises without it."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import isnan

from benchmark.report.boards import lines, scored_here
from benchmark.report.cell_results import CLUSTERING, RETRIEVAL, CellResult, Run
from benchmark.report.escapes import NONE, code
from benchmark.report.marks import named
from benchmark.report.rows import SAME, Row
from benchmark.report.tables import Table, retrieval_cells
from benchmark.report.worst_case import lowest, mean, worst_queries


@dataclass(frozen=True)
class Ablation:
    """What each attack of a suite adds to the worst cases of a table.

    Attributes:
        board: lines of Markdown, a row for each attack without which some worst case would rise.
        idle: the attacks without which none would.
    """

    board: list[str] = field(default_factory=list)
    idle: list[str] = field(default_factory=list)


def ablation(run: Run, table: Table) -> Ablation:
    """Computes how far each worst case would rise without one attack.

    Entries are points of AMI and of R@1, means over seeds. An attack without which nothing changes may be
    strongest on another model. Where other attacks were made only on the queries that one left standing, they
    might have defeated the others too: the entry is then an upper bound, with "≤".

    Args:
        run: where the arrays are.
        table: the table whose attacks are left out in turn.

    Returns:
        What each adds; nothing where the suite has one attack.
    """
    attacks = scored_here(table)
    if len(attacks) < 2:
        return Ablation()
    rises = {attack: [_rise(run, table, row, attack) for row in table.rows] for attack in attacks}
    idle = [attack for attack, found in rises.items() if not any(map(_is_rise, found))]
    shown = [attack for attack in attacks if attack not in idle]
    if not shown:
        return Ablation(idle=idle)
    columns = [("without", "---", [code(table.names.attack(attack)) for attack in shown])]
    columns += [
        (named(row), "---:", [rises[attack][place] for attack in shown])
        for place, row in enumerate(table.rows)
    ]
    return Ablation(lines(columns), idle)


def _is_rise(shown: str) -> bool:
    """Whether an entry is more than zeros and dashes."""
    return any(character in "123456789" for character in shown)


def _rise(run: Run, table: Table, row: Row, attack: str) -> str:
    if not any(cell.key.attack == attack for cell in row.cells):
        return NONE
    kept = [cell for cell in row.cells if cell.key.attack != attack]
    rises = []
    if table.has(CLUSTERING):
        rises.append(mean(_worst_ami(kept, seed.seed, row.eps) - seed.worst_ami for seed in row.seeds))
    if table.has(RETRIEVAL):
        rises.append(mean(_worst_r1(run, kept, seed.seed, row.eps) - seed.worst_r1 for seed in row.seeds))
    bound = ["" for _ in rises]
    if table.has(RETRIEVAL) and _is_followed(row, attack):
        bound[-1] = "\u2264 "
    shown = [
        NONE if isnan(rise) else "0" if abs(rise) < SAME else f"{at_most}{_signed(rise)}"
        for rise, at_most in zip(rises, bound, strict=True)
    ]
    return NONE if set(shown) == {NONE} else " / ".join(shown)


def _signed(rise: float) -> str:
    """A rise in points. A worst case that is chosen on half of the repeats may fall by chance."""
    shown = f"{100 * rise:+.1f}"
    return "+0.0" if shown == "-0.0" else shown


def _is_followed(row: Row, attack: str) -> bool:
    """Whether another attack was made only on the queries that this one left standing."""
    followed = {cell for one in row.cells if one.record for cell in one.record.follows}
    return any(cell.key.attack == attack and cell.ref.id in followed for cell in row.cells)


def _worst_ami(cells: list[CellResult], seed: int, eps: float) -> float:
    pool = [
        cell
        for cell in cells
        if cell.key.seed == seed and cell.key.scenario == CLUSTERING and cell.key.eps < eps + SAME
    ]
    worst = lowest(pool, "ami")
    return worst.metric("ami") if worst else float("nan")


def _worst_r1(run: Run, cells: list[CellResult], seed: int, eps: float) -> float:
    mine = [cell for cell in cells if cell.key.seed == seed]
    queries = worst_queries(run, retrieval_cells(mine, eps), own=True)
    return float("nan") if queries is None else float(queries.mean())
