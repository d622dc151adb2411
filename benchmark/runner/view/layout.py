"""Where the jobs of a grid stand on the board, what state they begin in, and what they cost."""

from __future__ import annotations

from collections.abc import Mapping

from benchmark.core.display_names import abbreviate
from benchmark.core.spec import format_value, split_parameters
from benchmark.jobs import AttackJob, Job
from benchmark.jobs.models import short_name
from benchmark.planning.grid import Grid
from benchmark.planning.setting_names import SettingNames
from benchmark.planning.todo import Todo
from benchmark.records import CLEAN, ModelKey
from benchmark.runner.view.board import TRAIN, Board, Column, Place, State
from benchmark.runner.view.time_left import JobCost


def board_of(grid: Grid, todo: Todo, names: SettingNames) -> Board:
    """Places all jobs of a grid; those of one cell of the board differ by their seed.

    Args:
        grid: the grid.
        todo: its jobs that are not done.
        names: of data sets, backbones and losses.
    """
    board = Board()
    columns = _Columns([planned.job for planned in grid.attacks])

    def place(key: ModelKey, column: Column) -> Place:
        return Place(names.prefix(key).removesuffix(": "), short_name(key), column)

    for training in todo.trainings:
        board.add(training.id, place(training.key, TRAIN), State.WAITING)
    for model in grid.models:
        known = State.SKIPPED if model.refusal else _ended(todo, [model.job.id])
        board.add(model.job.id, place(model.job.key, TRAIN), known)
    waiting = {cell: attack.id for attack in todo.attacks for cell in attack.cells.values()}
    for planned in grid.attacks:
        cells = list(planned.job.cells.values())
        to_do = [waiting[cell] for cell in cells if cell in waiting]
        state = State.WAITING if to_do else State.SKIPPED if planned.refusal else _ended(todo, cells)
        board.add(to_do[0] if to_do else cells[0], place(planned.job.key, columns.of(planned.job)), state)
    return board


def _ended(todo: Todo, ids: list[str]) -> State:
    return State.FAILED if todo.kept_failures.intersection(ids) else State.CACHED


def costs_of(todo: Todo, costs: Mapping[str, float]) -> dict[str, JobCost]:
    """Lists what is known of the jobs before they start, by their id.

    Args:
        todo: the jobs.
        costs: their cost units, by their id.
    """
    listed = {job.id: _cost(job, "training", costs, False) for job in todo.trainings}
    return listed | {job.id: _cost(job, "attack", costs, bool(job.follows)) for job in todo.attacks}


def _cost(job: Job, action: str, costs: Mapping[str, float], is_bound: bool) -> JobCost:
    # A unit is a pass through the plain backbone of the cell, at the size of the data set's images.
    return JobCost(costs[job.id], (job.key.backbone, job.key.dataset, action), is_bound, tuple(job.needs))


class _Columns:
    """The columns of attacks, with parameters and budgets only where they tell two apart."""

    def __init__(self, attacks: list[AttackJob]) -> None:
        self._short = abbreviate(attack.attack for attack in attacks)
        self._several = len({(attack.norm, attack.eps) for attack in attacks if attack.attack != CLEAN}) > 1

    def of(self, attack: AttackJob) -> Column:
        """The column of an attack."""
        if attack.attack == CLEAN:
            return Column("clean")
        base, parameters = split_parameters(self._short[attack.attack])
        values = " ".join(parameter.partition("=")[2].partition("[")[0] for parameter in parameters)
        return Column(base, values, f"{attack.norm} {format_value(attack.eps)}" if self._several else "")
