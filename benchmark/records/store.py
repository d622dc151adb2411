"""The store of a run: records, arrays and checkpoints on disk; writes are atomic, so a kill loses none."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TypeVar

import numpy as np
from pydantic import BaseModel, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save

from benchmark.core.errors import CheckpointError, UsageError
from benchmark.core.files import remove_unfinished, write_atomically
from benchmark.records.cell import CellRecord
from benchmark.records.check import CheckRecord
from benchmark.records.figures import FiguresRecord
from benchmark.records.model import ModelRecord
from benchmark.records.run import RunManifest

R = TypeVar("R", bound=BaseModel)

_FOLDERS = ("models", "cells", "arrays", "checks", "images", "logs", "unfinished")


class Store:
    """Records, arrays and checkpoints under `<output>/store`.

    Args:
        output: the folder that the user named.
    """

    def __init__(self, output: Path) -> None:
        self.output = output
        self.root = output / "store"

    def check_writable(self) -> None:
        """Makes the store's folders where they are missing, and removes files of killed writes.

        Raises:
            UsageError: when one cannot be made or written to.
        """
        try:
            for folder in (self.root, *(self.root / name for name in _FOLDERS)):
                folder.mkdir(parents=True, exist_ok=True)
                with tempfile.TemporaryFile(dir=folder):
                    pass
                remove_unfinished(folder)
            for state in (self.root / "unfinished").glob("*.safetensors"):
                record = self.model(state.stem)
                if record is not None and record.status == "done":  # another run was faster
                    state.unlink(missing_ok=True)
        except OSError as error:
            reason = error.strerror or str(error)
            raise UsageError(f"The output folder '{self.output}' cannot be written: {reason}.") from None

    def checkpoint(self, model_id: str) -> Path:
        """The path of a model's weights (safetensors)."""
        return self.root / "models" / f"{model_id}.safetensors"

    def unfinished(self, model_id: str) -> Path:
        """The path of a running training's saved state (safetensors)."""
        return self.root / "unfinished" / f"{model_id}.safetensors"

    def has_checkpoint(self, model_id: str) -> bool:
        """Whether the weights of a model exist and can be read."""
        try:
            with safe_open(self.checkpoint(model_id), framework="numpy"):
                return True
        except (OSError, SafetensorError):
            return False

    def _record(self, kind: str, record_id: str) -> Path:
        return self.root / kind / f"{record_id}.json"

    def _arrays(self, cell_id: str) -> Path:
        return self.root / "arrays" / f"{cell_id}.safetensors"

    @staticmethod
    def _read(path: Path, kind: type[R]) -> R | None:
        """Reads a record; a damaged one, or one of an older layout, counts as absent."""
        try:
            return kind.model_validate_json(path.read_bytes())
        except (OSError, ValidationError):
            return None

    @staticmethod
    def _write(path: Path, record: BaseModel) -> None:
        write_atomically(
            path, lambda temporary: temporary.write_text(record.model_dump_json(), encoding="utf-8")
        )

    def model(self, model_id: str) -> ModelRecord | None:
        """The record of a training, or None."""
        return self._read(self._record("models", model_id), ModelRecord)

    def cell(self, cell_id: str) -> CellRecord | None:
        """The record of a cell, or None."""
        return self._read(self._record("cells", cell_id), CellRecord)

    def finished(self, cell_id: str) -> CellRecord | None:
        """The record of a cell that is done and whose arrays can be read; else None."""
        record = self.cell(cell_id)
        if record is None or record.status != "done":
            return None
        try:
            return record if self.arrays(cell_id) else None
        except CheckpointError:
            return None

    def save_model(self, record: ModelRecord) -> None:
        """Writes the record of a training; its checkpoint must have been written before.

        The saved state of a finished training is deleted.
        """
        self._write(self._record("models", record.id), record)
        if record.status == "done":
            self.unfinished(record.id).unlink(missing_ok=True)

    def save_cell(self, record: CellRecord, arrays: dict[str, np.ndarray] | None = None) -> None:
        """Writes a cell: its arrays first, so that a record never stands without them."""
        if arrays:
            data = save({name: np.ascontiguousarray(array) for name, array in arrays.items()})
            write_atomically(self._arrays(record.id), lambda temporary: temporary.write_bytes(data))
        self._write(self._record("cells", record.id), record)

    def arrays(self, cell_id: str) -> dict[str, np.ndarray]:
        """The arrays of a cell; empty when it has none.

        Raises:
            CheckpointError: when the file is damaged.
        """
        path = self._arrays(cell_id)
        if not path.exists():
            return {}
        try:
            return dict(load_file(path))
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"{path} is damaged ({error}); delete it and run again.") from None

    def _images(self, cell_id: str) -> Path:
        return self.root / "images" / f"{cell_id}.safetensors"

    def save_images(self, cell_id: str, images: dict[str, np.ndarray]) -> None:
        """Writes the attacked images that are kept of a cell."""
        data = save({name: np.ascontiguousarray(array) for name, array in images.items()})
        write_atomically(self._images(cell_id), lambda temporary: temporary.write_bytes(data))

    def images(self, cell_id: str) -> dict[str, np.ndarray]:
        """The attacked images that were kept of a cell; empty when there are none, or they are damaged."""
        try:
            return dict(load_file(self._images(cell_id)))
        except (SafetensorError, OSError):
            return {}

    @staticmethod
    def _checked(model_id: str, norm: str, eps: float) -> str:
        return f"{model_id}-{norm}-{eps!r}"

    def save_checks(self, record: CheckRecord) -> None:
        """Writes the results of the checks on one model at one budget, replacing those of earlier runs."""
        self._write(self._record("checks", self._checked(record.model_id, record.norm, record.eps)), record)

    def checks(self, model_id: str, norm: str, eps: float) -> CheckRecord | None:
        """The results of the checks on one model at one budget, or None."""
        return self._read(self._record("checks", self._checked(model_id, norm, eps)), CheckRecord)

    def arrays_stamp(self, cell_id: str) -> tuple[int, int] | None:
        """Size in bytes and time of writing in ns of a cell's arrays; None when it has none."""
        try:
            status = self._arrays(cell_id).stat()
        except OSError:
            return None
        return status.st_size, status.st_mtime_ns

    def save_figures(self, record: FiguresRecord) -> None:
        """Writes what the figures of the report were drawn from."""
        self._write(self.root / "figures.json", record)

    def figures(self) -> FiguresRecord | None:
        """What the figures of the report were drawn from, or None."""
        return self._read(self.root / "figures.json", FiguresRecord)

    def save_manifest(self, manifest: RunManifest) -> None:
        """Writes the grid of the run."""
        self._write(self.root / "run.json", manifest)

    def manifest(self) -> RunManifest:
        """The grid of the last run.

        Raises:
            UsageError: when no run was made into this folder.
        """
        manifest = self._read(self.root / "run.json", RunManifest)
        if manifest is None:
            raise UsageError(f"There is no run in '{self.output}'. Run the benchmark there first.")
        return manifest
