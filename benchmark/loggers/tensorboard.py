"""TensorBoard's event files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from benchmark.loggers.base import LOGGERS, RunLogger

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

FOLDER = "tensorboard"
"""The folder of the event files within the output folder."""


@LOGGERS.register("tensorboard")
class TensorBoard(RunLogger):
    """Event files in the folder `tensorboard` of the output folder, for `tensorboard --logdir`."""

    package: ClassVar[str] = "tensorboard"

    def open(self, output: Path, config: Mapping[str, Any]) -> _Writer:
        """Opens a new event file."""
        from torch.utils.tensorboard import SummaryWriter

        return _Writer(SummaryWriter(str(output / FOLDER)))


class _Writer:
    def __init__(self, writer: SummaryWriter) -> None:
        self._writer = writer

    def curve(self, tag: str, values: Mapping[int, float]) -> None:
        """Writes a scalar for each epoch."""
        for epoch, value in values.items():
            self._writer.add_scalar(tag, value, epoch)

    def value(self, tag: str, value: float) -> None:
        """Writes a scalar at step 0."""
        self._writer.add_scalar(tag, value, 0)

    def close(self) -> None:
        """Writes what is left."""
        self._writer.close()
