"""The text of a dry run: the models to train, the attacks, and their cost."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

from benchmark.jobs.models import short_name
from benchmark.planning.grid import Grid
from benchmark.planning.setting_names import SettingNames
from benchmark.planning.todo import Todo
from benchmark.records import CLEAN


def describe_plan(grid: Grid, todo: Todo, costs: Mapping[str, float]) -> str:
    """Writes the plan: the settings once, a line for each model, tables of costs by defense and by attack.

    Args:
        grid: the grid.
        todo: its jobs that are not done yet.
        costs: cost units of each job, by its id.
    """
    names = SettingNames(model.job.key for model in grid.models)
    every_model = {model.job.id: model.job.trained for model in grid.models}
    trained = [job for job in todo.trainings if job.trained]
    loaded = [job for job in todo.trainings if not job.trained]
    lines = [*names.legend(), ""]
    if loaded:
        shown = ", ".join(dict.fromkeys(short_name(job.key) for job in loaded))
        lines.append(f"Models to load: {shown}")
    count = sum(every_model.values())
    lines += [f"Models to train: {len(trained)} of {count}"] if count else []
    if trained:
        lines.append(f"{'cost units':>16}  {'epochs':>6}  model")
        for job in trained:
            model = f"{names.prefix(job.key)}{short_name(job.key)}, seed {job.key.seed}"
            lines.append(f"{costs[job.id]:>16,.0f}  {job.epochs:>6,}  {model}")
    by_defense: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    by_attack: dict[str, list[float]] = defaultdict(lambda: [0.0])
    for training in todo.trainings:
        by_defense[short_name(training.key)][0] += costs[training.id]
    for attack in todo.attacks:
        by_defense[short_name(attack.key)][1] += costs[attack.id]
        by_attack["clean" if attack.attack == CLEAN else attack.attack][0] += costs[attack.id]
    lines += _table("Cost by defense", ["training", "attacks", "all"], _with_sums(by_defense))
    lines += _table(f"Cost by attack ({len(todo.attacks)} attack jobs)", ["all"], by_attack.items())
    missing = todo.cells - todo.cached - todo.failed
    lines += ["", f"{todo.cells} cells, {todo.cached} cached{todo.failures}, {missing} to compute."]
    lines += [f"Left out: {reason}" for reason in grid.left_out()]
    total = sum(costs.values())
    if todo.is_bound:
        lines.append(
            "Attacks that follow others are counted as if every query still stood: costs are at most these."
        )
    lines.append(f"Cost: {total:,.0f} units (one: a forward pass of one image through the plain backbone).")
    return "\n".join(lines) + "\n"


def _with_sums(rows: Mapping[str, list[float]]) -> Iterable[tuple[str, list[float]]]:
    return ((name, [*values, sum(values)]) for name, values in rows.items())


def _table(title: str, columns: list[str], rows: Iterable[tuple[str, list[float]]]) -> list[str]:
    """Formats a table of costs, the costliest row first; no lines without a row."""
    ordered = sorted(rows, key=lambda row: -row[1][-1])
    if not ordered:
        return []
    head = "".join(f"{column:>16}" for column in columns)
    return [
        "",
        title,
        f"{head}  name",
        *(f"{''.join(f'{value:>16,.0f}' for value in values)}  {name}" for name, values in ordered),
    ]
