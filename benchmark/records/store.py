"""The store of a run: records, arrays and checkpoints on disk; writes are atomic, so a kill loses none."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TypeVar

import numpy as np

from benchmark.core.errors import DamagedFileError, UsageError
from benchmark.core.files import reject_files, set_aside, stamp
from benchmark.core.sealed import UnsealedFileError, check_tensors
from benchmark.core.unfinished import remove_unfinished
from benchmark.records.cell import CellRecord
from benchmark.records.check import CheckRecord
from benchmark.records.covariances import CovariancesRecord
from benchmark.records.figures import FiguresRecord
from benchmark.records.keys import ModelKey
from benchmark.records.model import ModelRecord
from benchmark.records.reading import is_unchecked, read_record, write_record
from benchmark.records.record import Record
from benchmark.records.run import RunManifest
from benchmark.records.stored_cell import StoredCell, examined
from benchmark.records.tensor_files import check_arrays, read_arrays, write_arrays

R = TypeVar("R", bound=Record)

_FOLDERS = ("models", "cells", "arrays", "embeddings", "checks", "images", "logs", "unfinished")


class Store:
    """Records, arrays and checkpoints under `<output>/store`.

    What is damaged counts as absent, so that a run makes it again.

    Args:
        output: the folder that the user named.
        heal: whether what is found damaged is renamed to NAME.damaged, with a line on stderr, as a run does;
            a report changes nothing.
    """

    def __init__(self, output: Path, heal: bool = False) -> None:
        self.output = output
        self.root = output / "store"
        self._heal = heal

    def check_writable(self) -> None:
        """Makes the store's folders where they are missing, and removes files of killed writes.

        Raises:
            UsageError: when one cannot be made or written to.
        """
        reject_files((self.output, self.root), f"The output folder '{self.output}' cannot be written")
        try:
            for folder in (self.root, *(self.root / name for name in _FOLDERS)):
                folder.mkdir(parents=True, exist_ok=True)
                with tempfile.TemporaryFile(dir=folder):
                    pass
                remove_unfinished(folder)
            remove_unfinished(self.output)
            for state in (self.root / "unfinished").glob("*.safetensors"):
                record = self.model(state.stem) or self.cell(state.stem)
                if record is not None and record.status == "done":  # another run was faster
                    self._drop_unfinished(state)
        except OSError as error:
            raise self._unwritable(error) from None

    def _unwritable(self, error: OSError) -> UsageError:
        reason = error.strerror or str(error)
        return UsageError(f"The output folder '{self.output}' cannot be written: {reason}.")

    def check_report_writable(self) -> None:
        """Checks that a report can be written where there is a run.

        Raises:
            UsageError: when it cannot.
        """
        try:
            for folder in (self.root, self.output):
                with tempfile.TemporaryFile(dir=folder):
                    pass
        except (FileNotFoundError, NotADirectoryError):
            return  # what reads the run says that there is none
        except OSError as error:
            raise self._unwritable(error) from None

    def checkpoint(self, model_id: str) -> Path:
        """The path of a model's weights (safetensors)."""
        return self.root / "models" / f"{model_id}.safetensors"

    def unfinished(self, job_id: str) -> Path:
        """The path of a running training's or attack's saved state (safetensors)."""
        return self.root / "unfinished" / f"{job_id}.safetensors"

    def files_of(self, record_id: str) -> list[Path]:
        """Lists the files that jobs read of a model, a cell or a clean pool, relative to `root`."""
        folders = ("arrays", "cells", "embeddings", "models", "unfinished")
        names = [f"{folder}/{record_id}" for folder in folders]
        paths = [Path(f"{name}{suffix}") for name in names for suffix in (".safetensors", ".json")]
        return [path for path in paths if (self.root / path).is_file()]

    def has_checkpoint(self, model_id: str) -> bool:
        """Whether the weights of a model exist and are those that were written; reads all of them.

        Raises:
            UnreadableFileError: when they cannot be read.
        """
        path = self.checkpoint(model_id)
        try:
            check_tensors(path)
        except FileNotFoundError:
            return False
        except DamagedFileError as error:
            if isinstance(error, UnsealedFileError) and self.is_unchecked(model_id):
                return True
            self._set_aside(error)
            return False
        return True

    def is_unchecked(self, model_id: str) -> bool:
        """Whether a model is of a version of the protocol that wrote no checksums."""
        return is_unchecked(self._record("models", model_id))

    def _set_aside(self, error: DamagedFileError) -> None:
        """Renames what is damaged, where this store heals."""
        if self._heal:
            set_aside(error.path, error.reason)

    def _record(self, kind: str, record_id: str) -> Path:
        return self.root / f"{kind}/{record_id}.json"  # joined once, since a report asks for thousands

    def _arrays(self, cell_id: str) -> Path:
        return self.root / f"arrays/{cell_id}.safetensors"

    def _read(self, path: Path, kind: type[R]) -> R | None:
        """Reads a record; a damaged one counts as absent.

        Raises:
            UnreadableFileError: when it cannot be read.
        """
        try:
            return read_record(path, kind)
        except FileNotFoundError:
            return None
        except DamagedFileError as error:
            self._set_aside(error)
            return None

    def model(self, model_id: str) -> ModelRecord | None:
        """The record of a training, or None."""
        return self._read(self._record("models", model_id), ModelRecord)

    def cell(self, cell_id: str) -> CellRecord | None:
        """The record of a cell, or None."""
        return self._read(self._record("cells", cell_id), CellRecord)

    def finished(self, cell_id: str) -> CellRecord | None:
        """The record of a cell that is done and whose arrays are all there; else None.

        An attack that is left out at chance may have none.
        """
        record = self.cell(cell_id)
        if record is None or record.status != "done":
            return None
        path = self._arrays(cell_id)
        try:
            names = check_tensors(path)
            if missing := sorted(set(record.arrays) - names):
                raise DamagedFileError(path, f"it lacks {', '.join(missing)}")
        except FileNotFoundError:
            named = record.arrays or is_unchecked(self._record("cells", cell_id))
            return None if named else record
        except DamagedFileError as error:
            if isinstance(error, UnsealedFileError) and self._is_unchecked_cell(cell_id):
                return record
            self._set_aside(error)
            return None
        return record

    def examined(self, cell_id: str) -> StoredCell:
        """Reads the record of a cell, and checks the arrays that it names; renames nothing."""
        return examined(self._record("cells", cell_id), self._arrays(cell_id))

    def save_model(self, record: ModelRecord) -> None:
        """Writes the record of a training; its checkpoint must have been written before.

        The saved state of a finished training is deleted.
        """
        write_record(self._record("models", record.id), record)
        if record.status == "done":
            self._drop_unfinished(self.unfinished(record.id))

    def save_cell(self, record: CellRecord, arrays: dict[str, np.ndarray] | None = None) -> None:
        """Writes a cell: its arrays first, so that a record never stands without them."""
        if arrays:
            write_arrays(self._arrays(record.id), arrays, record.key)
        record = record.model_copy(update={"arrays": sorted(arrays or {})})
        write_record(self._record("cells", record.id), record)

    @staticmethod
    def _drop_unfinished(state: Path) -> None:
        if state.is_dir():
            set_aside(state, "a folder is in its place")
        state.unlink(missing_ok=True)

    def arrays(self, cell_id: str) -> dict[str, np.ndarray]:
        """The arrays of a cell; empty when it has none.

        Raises:
            CheckpointError: when the file is damaged or cannot be read.
        """
        path = self._arrays(cell_id)
        return read_arrays(path, lambda: self._is_unchecked_cell(cell_id)) if path.exists() else {}

    def _is_unchecked_cell(self, cell_id: str) -> bool:
        return is_unchecked(self._record("cells", cell_id))

    def images_path(self, cell_id: str) -> Path:
        """The path of a cell's attacked images (safetensors)."""
        return self.root / f"images/{cell_id}.safetensors"

    def check_images(self, cell_id: str) -> None:
        """Checks that the attacked images of a cell are those that were written.

        Raises:
            FileNotFoundError: when there are none.
            CheckpointError: when they are damaged or cannot be read.
        """
        check_arrays(self.images_path(cell_id), lambda: self._is_unchecked_cell(cell_id))

    def save_images(self, cell_id: str, images: dict[str, np.ndarray], key: ModelKey | None = None) -> None:
        """Writes the attacked images that are kept of a cell."""
        write_arrays(self.images_path(cell_id), images, key)

    def images(self, cell_id: str) -> dict[str, np.ndarray]:
        """The attacked images that were kept of a cell; empty when there are none, or they are damaged."""
        path = self.images_path(cell_id)
        try:
            return read_arrays(path, lambda: self._is_unchecked_cell(cell_id)) if path.exists() else {}
        except DamagedFileError as error:
            self._set_aside(error)
            return {}

    @staticmethod
    def _checked(model_id: str, norm: str, eps: float) -> str:
        return f"{model_id}-{norm}-{eps!r}"

    def save_checks(self, record: CheckRecord) -> None:
        """Writes the results of the checks on one model at one budget, replacing those of earlier runs."""
        write_record(self._record("checks", self._checked(record.model_id, record.norm, record.eps)), record)

    def checks(self, model_id: str, norm: str, eps: float) -> CheckRecord | None:
        """The results of the checks on one model at one budget, or None."""
        return self._read(self._record("checks", self._checked(model_id, norm, eps)), CheckRecord)

    def arrays_stamp(self, cell_id: str) -> tuple[int, int] | None:
        """Size in bytes and time of writing in ns of a cell's arrays; None when it has none."""
        return stamp(self._arrays(cell_id))

    def record_stamp(self, cell_id: str) -> tuple[int, int] | None:
        """Size in bytes and time of writing in ns of a cell's record; None when it has none."""
        return stamp(self._record("cells", cell_id))

    def save_figures(self, record: FiguresRecord) -> None:
        """Writes what the figures of the report were drawn from."""
        write_record(self.root / "figures.json", record)

    def figures(self) -> FiguresRecord | None:
        """What the figures of the report were drawn from, or None."""
        return self._read(self.root / "figures.json", FiguresRecord)

    def save_covariances(self, record: CovariancesRecord) -> None:
        """Writes how the scores of the report scatter."""
        write_record(self.root / "covariances.json", record)

    def covariances(self) -> CovariancesRecord | None:
        """How the scores of the last report scatter, or None."""
        return self._read(self.root / "covariances.json", CovariancesRecord)

    def save_manifest(self, manifest: RunManifest) -> None:
        """Writes the grid of the run."""
        write_record(self.root / "run.json", manifest)

    def manifest(self) -> RunManifest:
        """The grid of the last run.

        Raises:
            UsageError: when no run was made into this folder, or its grid is damaged or empty.
        """
        reject_files((self.output, self.root), f"There is no run in '{self.output}'")
        path = self.root / "run.json"
        try:
            manifest = read_record(path, RunManifest)
        except FileNotFoundError:
            raise UsageError(f"There is no run in '{self.output}'. Run the benchmark there first.") from None
        except DamagedFileError as error:
            raise UsageError(
                f"The grid of the run, {path}, cannot be used ({error.reason}). Give its command again; "
                "what was done is kept."
            ) from None
        return manifest
