"""The contribution of each attack of a suite: how far the worst case rises without it."""

from __future__ import annotations

from math import isnan

from benchmark.report.boards import lines, named, scored_here
from benchmark.report.cell_results import CLUSTERING, RETRIEVAL, CellResult, Run
from benchmark.report.escapes import NONE, code
from benchmark.report.rows import SAME, Row
from benchmark.report.tables import Table, retrieval_cells
from benchmark.report.worst_case import lowest, mean, worst_queries


def ablation_board(run: Run, table: Table) -> list[str]:
    """Builds the table of how far each worst case would rise without one attack: a row for each attack.

    Entries are points of AMI and of R@1, means over seeds. An attack without which nothing changes is shown
    too: it may be strongest on another model. Where other attacks were made only on the queries that one left
    standing, they might have defeated the others too: the entry is then an upper bound, with "≤".

    Args:
        run: where the arrays are.
        table: the table whose attacks are left out in turn.

    Returns:
        Lines of Markdown; none where the suite has one attack.
    """
    attacks = scored_here(table)
    if len(attacks) < 2:
        return []
    columns = [
        (named(row), "---:", [_rise(run, table, row, attack) for attack in attacks]) for row in table.rows
    ]
    return lines([("without", "---", [code(table.names.short(attack)) for attack in attacks]), *columns])


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
