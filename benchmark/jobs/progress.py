"""How far a running job is: what its worker reports to the run, without waiting for the device."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

INTERVAL = 1.0
"""Seconds between two reports of a job, at least."""


class Progress(NamedTuple):
    """How far a running job is.

    Attributes:
        share: fraction of the job's work that is done, in [0, 1]; with what it resumed from.
        part: fraction of its planned cost that the job has, in [0, 1]; below 1 for an attack that finds fewer
            queries standing than it might have.
        unit: what is counted, "epoch" or "step" (one of one batch); empty where nothing is.
        done: how many of them are done.
        total: how many there are; under a budget an estimate.
        measure: what `value` is, "loss" or "objective".
        value: the loss of the latest epoch, or the mean objective of a recent batch; None while unknown.
        resumed: the share that was done when the job began, by an earlier run.
    """

    share: float = 0.0
    part: float = 1.0
    unit: str = ""
    done: int = 0
    total: int = 0
    measure: str = ""
    value: float | None = None
    resumed: float = 0.0

    def __str__(self) -> str:
        """The count and the value, as a clause; empty where nothing is counted."""
        if not self.total:
            return ""
        value = "" if self.value is None else f", {self.measure} {self.value:.4g}"
        return f"{self.unit} {self.done:,} of {self.total:,}{value}"


Report = Callable[[Progress], None]
"""Takes the progress of the running job."""


def ignore(progress: Progress) -> None:
    """Does nothing: nobody watches the job."""


class TrainingProgress:
    """Reports the progress of a training, at most once an interval between epochs.

    Args:
        report: takes the progress.
        epochs: of the training; with a budget, those that it is expected to take.
    """

    def __init__(self, report: Report, epochs: int) -> None:
        self._report = report
        self._epochs = epochs
        self._loss: float | None = None
        self._resumed: float | None = None
        self._reported = 0.0

    def step(self, share: float) -> None:
        """Notes the start, or a step; `share` is the fraction of the training that is done, in [0, 1]."""
        if self._resumed is None:
            self._resumed = share
        now = time.monotonic()
        if now - self._reported >= INTERVAL:
            self._reported = now
            self._tell(share, int(share * self._epochs))

    def epoch(self, done: int, epochs: int, loss: float) -> None:
        """Notes the end of an epoch, with its mean loss."""
        self._epochs, self._loss = epochs, loss
        self._tell(done / max(1, epochs), done)

    def _tell(self, share: float, done: int) -> None:
        self._report(
            Progress(
                share,
                unit="epoch",
                done=done,
                total=self._epochs,
                measure="loss",
                value=self._loss,
                resumed=self._resumed or 0.0,
            )
        )


class AttackProgress:
    """Reports the progress of an attack, at most once an interval; see `attacks.problem.Watch`.

    Args:
        report: takes the progress.
        weight: fraction of the job's work that the attack is, in [0, 1]; the rest is scoring.
        part: as in `Progress`.

    Attributes:
        done: number of steps of batches so far, with those of earlier runs.
    """

    def __init__(self, report: Report, weight: float = 1.0, part: float = 1.0) -> None:
        self._report = report
        self._weight = weight
        self._part = part
        self._mean = _LatestMean()
        self.done = 0
        self._resumed = 0
        self._reported = 0.0

    def resume(self, done: int) -> None:
        """Notes that an earlier run of the attack has done so many steps."""
        self.done = self._resumed = done

    def step(self, of: int, values: Tensor | None = None) -> None:
        """Notes a step of a batch.

        Args:
            of: number of steps of all batches together.
            values: objective values of the batch, shape (b,).
        """
        self.done += 1
        now = time.monotonic()
        if now - self._reported < INTERVAL and self.done != of:
            return
        self._reported = now
        done = min(self.done, of)
        value = self._mean.look(values)
        share, resumed = (self._weight * min(steps, of) / max(1, of) for steps in (done, self._resumed))
        self._report(Progress(share, self._part, "step", done, of, "objective", value, resumed))


class _LatestMean:
    """The mean of a batch's values; of a GPU's that of an earlier look, so that nothing waits for it."""

    def __init__(self) -> None:
        self._known: float | None = None
        self._copied: tuple[Tensor, torch.cuda.Event] | None = None

    def look(self, values: Tensor | None) -> float | None:
        if values is not None and values.device.type != "cuda":
            return float(values.detach().mean())
        if self._copied is not None and self._copied[1].query():
            self._known, self._copied = float(self._copied[0]), None
        if values is not None and self._copied is None:
            copy = values.detach().mean().to("cpu", non_blocking=True)
            event = torch.cuda.Event()
            event.record(torch.cuda.current_stream(values.device))
            self._copied = copy, event
        return self._known
