"""What follows an attack while it runs: how far it is, and what its passes cost."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor


class PassMeter(Protocol):
    """Counts cost units of a model's passes, by hooks on it.

    Attributes:
        forward, backward: units so far.
    """

    forward: float
    backward: float


class Watch(Protocol):
    """Follows how far an attack is; it never waits for the device.

    Attributes:
        done: number of steps of batches so far.
    """

    done: int

    def resume(self, done: int) -> None:
        """Notes that an earlier run of the attack has done so many steps."""

    def step(self, of: int, values: Tensor | None = None) -> None:
        """Notes a step of a batch.

        Args:
            of: number of steps of all batches together.
            values: objective values of the batch, shape (b,), on the device.
        """


class Unwatched:
    """Follows nothing."""

    done = 0

    def resume(self, done: int) -> None:
        """Does nothing."""

    def step(self, of: int, values: Tensor | None = None) -> None:
        """Does nothing."""


class Continued:
    """Follows the first of two attacks on one task, whose steps are a part of all.

    Args:
        watch: follows both.
        steps: number of steps of batches of the second.

    Attributes:
        first: number of steps of the first; 0 before one.
    """

    def __init__(self, watch: Watch, steps: int) -> None:
        self.first = 0
        self._watch = watch
        self._steps = steps

    @property
    def done(self) -> int:
        """Number of steps of batches so far."""
        return self._watch.done

    @done.setter
    def done(self, done: int) -> None:
        self._watch.done = done

    def resume(self, done: int) -> None:
        """Notes that an earlier run of the attack has done so many steps."""
        self._watch.resume(done)

    def step(self, of: int, values: Tensor | None = None) -> None:
        """Notes a step of a batch; `of` is the number of the first attack's."""
        self.first = of
        self._watch.step(of + self._steps, values)
