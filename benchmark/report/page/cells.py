"""The table of all cells of a run: one line for each model and attack, over its training seeds."""

from __future__ import annotations

from collections import defaultdict
from math import isnan, nan
from typing import NamedTuple

from benchmark.report.boards import AFTER, percent
from benchmark.report.cell_results import CellResult, Run
from benchmark.report.escapes import NONE
from benchmark.report.marks import CONTROL, REFERENCE
from benchmark.report.page.attacks import FOLLOWS
from benchmark.report.page.boards import record
from benchmark.report.page.grid import Column, Grid, Line, Mark, Value, exact, number, one_line, plain, spec
from benchmark.report.page.settings import Setting, differing, of_cell
from benchmark.report.page.settings import columns as setting_columns
from benchmark.report.sources import mark, source
from benchmark.report.style import METRICS
from benchmark.report.worst_case import deviation, mean

LIMIT = 5000
"""Lines that the page has at most: browsers take seconds to sort more, and files grow by 0.5 kB for each."""
MAIN = ("ami", "r1", "tar_far_1e2")
"""The metrics that stand for a scenario, the first that it has; of others the first in alphabetical order."""
ROLES = {"clean": "clean", "suite": "suite", "curve": "budgets", "check": "checks"}


class CellTable(NamedTuple):
    """The table, and how many of its lines were left out because there are too many."""

    grid: Grid
    left_out: int


class _Group(NamedTuple):
    """Cells of one line differ in the seed alone."""

    defense: str
    scenario: str
    attack: str
    role: str
    setting: Setting


def cell_table(run: Run) -> CellTable:
    """Builds the table of all cells; those of the suite first where there are too many."""
    groups: dict[_Group, list[CellResult]] = defaultdict(list)
    for cell in run.cells:
        key = cell.key
        group = _Group(key.defense, key.scenario, key.attack, cell.ref.role, of_cell(run, cell))
        groups[group].append(cell)
    kept = list(groups)
    if len(kept) > LIMIT:
        first = sorted(kept, key=lambda group: [*ROLES].index(group.role))[:LIMIT]
        kept = sorted(first, key=kept.index)
    attacked = [group.setting for group in kept if group.setting.norm is not None]
    various = [*differing(attacked)]
    columns = [
        Column("model" if run.manifest.own_models else "defense"),
        *setting_columns(name for name in various if name not in ("norm", "eps")),
        Column("scenario", "scenario"),
        Column("attack", "attack"),
        *setting_columns(name for name in ("norm", "eps") if name in various or name == "eps"),
        Column(
            "role",
            "role",
            hint="What the cells are for: the suite, scores over budgets, or the checks alone.",
        ),
        Column("metric"),
        Column("value", numeric=True, first="descending", hint="In percent, mean over training seeds."),
        Column("seconds", numeric=True, first="descending", hint="Of the attack, mean over training seeds."),
        Column("status", "status"),
    ]
    names = [column.name for column in columns if column.name in Setting.__dataclass_fields__]
    lines = [_line(run, group, groups[group], names) for group in kept]
    shared = attacked[0].fixed if attacked else {}
    setting = {name: text for name, text in shared.items() if name not in various}
    caption = f"All {len(run.cells):,} cells of the run"
    return CellTable(Grid("cells", caption, columns, lines, 0, setting, tall=True), len(groups) - len(kept))


def _line(run: Run, group: _Group, cells: list[CellResult], names: list[str]) -> Line:
    setting, done = group.setting, [cell for cell in cells if cell.done]
    follows = any(cell.follows_others for cell in done)
    of = source(run.manifest, group.defense)
    base = group.defense.partition("[")[0]
    labels = [f"{AFTER} follows other attacks"] if follows else []
    labels += ["own model" if group.defense in run.manifest.own_models else "plugin"] if of else []
    labels += [CONTROL] if base in run.manifest.controls else []
    labels += [REFERENCE] if group.defense in run.manifest.references else []
    labels += ["cells without metrics"] if len(done) < len(cells) else []
    metric = _main(done)
    value = mean(cell.metric(metric) for cell in done)
    parts = {name: setting.value(name) for name in names}
    return Line(
        [
            spec(run.names.short(group.defense), marks=(Mark(one_line(mark(of))),) if of else ()),
            *(value for name, value in parts.items() if name not in ("norm", "eps")),
            spec(run.names.short(group.scenario)),
            plain("clean") if group.role == "clean" else _attack(run, group.attack),
            *(value for name, value in parts.items() if name in ("norm", "eps")),
            plain(ROLES[group.role]),
            plain(METRICS.get(metric, metric.replace("_", " "))),
            _value(cells, metric, value, follows),
            _seconds(done),
            _status(cells, done),
        ],
        labels,
    )


def _attack(run: Run, attack: str) -> Value:
    """The short name of an attack, and its full name on hover and focus."""
    return spec(run.names.attack(attack), one_line(run.names.short(attack)))


def _main(done: list[CellResult]) -> str:
    """The metric that stands for some cells; empty where they have none."""
    found = sorted({name for cell in done if cell.record for name in cell.record.metrics})
    return next((name for name in MAIN if name in found), next(iter(found), ""))


def _value(cells: list[CellResult], metric: str, value: float, follows: bool) -> Value:
    spread = deviation(cell.metric(metric) for cell in cells)
    return number(
        percent(value, spread) if metric else NONE,
        value if metric else nan,
        "\n".join(_metrics(cell) for cell in cells),
        marks=(FOLLOWS,) if follows else (),
    )


def _metrics(cell: CellResult) -> str:
    """All metrics of a cell, and its record."""
    metrics = cell.record.metrics if cell.record and cell.done else {}
    listed = ", ".join(f"{one_line(name)} {exact(value)}" for name, value in metrics.items())
    return f"seed {cell.key.seed}: {listed or one_line(cell.reason) or 'no metrics'}, {record(cell)}"


def _seconds(done: list[CellResult]) -> Value:
    seconds = mean(cell.record.seconds for cell in done if cell.record and cell.ref.role != "clean")
    return Value(NONE, nan) if isnan(seconds) else number(f"{seconds:.1f}", seconds, f"{exact(seconds)} s")


def _status(cells: list[CellResult], done: list[CellResult]) -> Value:
    if len(done) == len(cells):
        return plain("done")
    lacking = [cell for cell in cells if not cell.done]
    reasons = dict.fromkeys(f"{cell.status}: {one_line(cell.reason)}" for cell in lacking)
    return Value(lacking[0].status, detail="\n".join([f"{len(done)} of {len(cells)} done", *reasons]))
