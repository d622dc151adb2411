"""How far a training is: by its steps, or by the cost units that it has spent."""

from __future__ import annotations

from typing import Protocol

from benchmark.models import PassCounter


class Pace(Protocol):
    """Tells how far a training is, and when it is over."""

    @property
    def progress(self) -> float:
        """The fraction of the training that is done; 1 when it is over."""

    @property
    def position(self) -> float:
        """The step of the learning-rate schedule that comes next, from 0."""

    @property
    def over(self) -> bool:
        """Whether no step is left."""

    def step(self) -> None:
        """Takes note of a step; to be called after each."""

    def parts(self, number: int) -> int:
        """How many are done of a number of equal parts of the training."""

    def epochs(self, done: int) -> int:
        """The number of epochs of the whole training, estimated when `done` epochs are done."""


class StepPace:
    """The pace of a training for a number of epochs.

    Args:
        epochs: number of epochs.
        per_epoch: steps of an epoch.
        done: epochs that are done.
    """

    def __init__(self, epochs: int, per_epoch: int, done: int) -> None:
        self._epochs = epochs
        self._steps = epochs * per_epoch
        self.position = done * per_epoch

    @property
    def progress(self) -> float:
        """The fraction of the steps that is done."""
        return self.position / self._steps

    @property
    def over(self) -> bool:
        """Whether all steps are done."""
        return self.position >= self._steps

    def step(self) -> None:
        """Takes note of a step."""
        self.position += 1

    def parts(self, number: int) -> int:
        """How many are done of a number of equal parts of the training."""
        return self.position * number // self._steps

    def epochs(self, done: int) -> int:
        """The number of epochs of the whole training."""
        return self._epochs


class BudgetPace:
    """The pace of a training that spends a budget of cost units.

    It ends with the step at which what is spent is nearest to the budget, if steps go on to cost the same.

    Args:
        budget: cost units, above 0.
        counter: counts what is spent.
        steps: planned number of steps, over which the learning-rate schedule is spread.
    """

    def __init__(self, budget: float, counter: PassCounter, steps: int) -> None:
        self._budget = budget
        self._counter = counter
        self._steps = steps
        self._before = counter.total
        self.over = False

    @property
    def progress(self) -> float:
        """The fraction of the budget that is spent; 1 when the training is over."""
        return 1.0 if self.over else self._counter.total / self._budget

    @property
    def position(self) -> float:
        """The step of the planned ones that is as far as the training is."""
        return min(self.progress * self._steps, self._steps - 1)

    def step(self) -> None:
        """Compares what is left of the budget with the cost of the step just done."""
        spent = self._counter.total
        self.over = self._budget - spent <= (spent - self._before) / 2
        self._before = spent

    def parts(self, number: int) -> int:
        """How many are done of a number of equal parts of the budget."""
        return int(self.progress * number)

    def epochs(self, done: int) -> int:
        """The number of epochs that the budget suffices for, if they go on to cost the same."""
        return done if self.over else max(done + 1, round(done / self.progress))
