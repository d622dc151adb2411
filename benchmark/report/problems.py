"""The cells of a run that have no metrics, and why."""

from __future__ import annotations

from collections import defaultdict

from benchmark.report.cell_results import CellResult, Run
from benchmark.report.display_names import NOT_TRAINED
from benchmark.report.escapes import code
from benchmark.report.style import format_eps
from benchmark.report.tables import mode_words


def problems(run: Run) -> list[dict[str, str]]:
    """Lists the cells without metrics, those of one row that share status and reason in one entry."""
    groups: dict[tuple[str, str, str, str], list[CellResult]] = defaultdict(list)
    for cell in run.cells:
        if not cell.done:
            key = cell.key
            specs = [key.dataset, *(spec for spec in (key.backbone,) if spec != NOT_TRAINED)]
            parts = [*map(run.names.brief, specs), *run.names.setting(key.loss)]
            if len(run.manifest.compute) > 1 and cell.compute != NOT_TRAINED:
                parts.append(mode_words(cell.compute))
            groups[", ".join(parts), run.names.short(key.defense), cell.status, cell.reason].append(cell)
    names = ("model", "defense", "status", "reason")
    return [
        dict(
            zip(names, group, strict=True),
            seeds=", ".join(map(str, sorted({cell.key.seed for cell in cells}))),
            cells=f"{len(cells)}: {_attacks(run, cells)}",
        )
        for group, cells in groups.items()
    ]


def _attacks(run: Run, cells: list[CellResult], limit: int = 3) -> str:
    """The attacks of the cells with their budgets, of which the first few are named."""
    budgets: dict[str, set[float]] = defaultdict(set)
    for cell in cells:
        budgets["" if cell.ref.role == "clean" else cell.key.attack].add(cell.key.eps)
    listed = [
        f"{code(run.names.attack(attack))} at {', '.join(map(format_eps, sorted(eps)))}"
        if attack
        else "clean"
        for attack, eps in sorted(budgets.items())
    ]
    more = f" and {len(listed) - limit} more" if len(listed) > limit else ""
    return "; ".join(listed[:limit]) + more
