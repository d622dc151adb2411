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
