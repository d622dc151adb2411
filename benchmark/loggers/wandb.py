"""Weights & Biases."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

from benchmark.core.errors import UsageError
from benchmark.loggers.base import LOGGERS, RunLogger

EPOCH = "epoch"
"""The quantity that curves are drawn over."""


@LOGGERS.register("wandb")
class WeightsAndBiases(RunLogger):
    """A run of Weights & Biases, in the folder `wandb` of the output folder.

    Attributes:
        mode: "offline" needs no account and no network, and `wandb sync` uploads it later; "online" needs
            that `wandb login` was run before.
        project: name of the project there.
    """

    package: ClassVar[str] = "wandb"

    mode: Literal["offline", "online"] = "offline"
    project: str = "dml-robustness"

    def open(self, output: Path, config: Mapping[str, Any]) -> _Writer:
        """Starts a run.

        Raises:
            UsageError: when it cannot be started, as online without an account.
        """
        import wandb

        try:
            run = wandb.init(
                project=self.project,
                mode=self.mode,
                dir=str(output),
                config=dict(config),
                settings=wandb.Settings(silent=True, console="off"),
            )
            run.define_metric("*", step_metric=EPOCH)
        except Exception as error:  # of its own classes, and of the network
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise UsageError(f"--log {self.spec} cannot start a run: {reason}") from None
        return _Writer(run)


class _Writer:
    def __init__(self, run: Any) -> None:
        self._run = run

    def curve(self, tag: str, values: Mapping[int, float]) -> None:
        """Logs a value for each epoch."""
        for epoch, value in values.items():
            self._run.log({tag: value, EPOCH: epoch})

    def value(self, tag: str, value: float) -> None:
        """Writes a value of the run's summary."""
        self._run.summary[tag] = value

    def close(self) -> None:
        """Ends the run."""
        self._run.finish()
