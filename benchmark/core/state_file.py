"""The file that holds the state of a running job, from which the job resumes when its process was killed."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from benchmark.core.errors import DamagedFileError, InterruptedJobError
from benchmark.core.files import set_aside
from benchmark.core.output import warn
from benchmark.core.sealed import check_tensors, write_tensors

State = tuple[dict[str, Any], dict[str, Tensor]]
"""A description that JSON can hold, and tensors by name."""

_SHARE = 20.0
"""Seconds between two writes, at least, for each second that a write takes."""


class StateFile:
    """A file with the latest state of a job (safetensors, with a JSON description in its header).

    Args:
        path: the file, written atomically, with a checksum.
        job: what the job is in messages: "training" or "attack".
        every: seconds between two writes, at least; twenty times as long as a write takes where that is more.
        stopping: says whether the run is being stopped; the state is then saved at once.
    """

    def __init__(
        self, path: Path, job: str, every: float = 0.0, stopping: Callable[[], bool] = lambda: False
    ) -> None:
        self.path = path
        self._job = job
        self._every = every
        self._stopping = stopping
        self._stop = False
        self._last = time.monotonic()

    def due(self) -> bool:
        """Whether the state is to be written now."""
        self._stop = self._stop or self._stopping()
        return self._stop or time.monotonic() - self._last >= self._every

    def keep(self) -> None:
        """Leaves the file as it is, where a state that it holds is further on than the present one.

        Raises:
            InterruptedJobError: when the run is being stopped.
        """
        self._stop = self._stop or self._stopping()
        if self._stop:
            raise InterruptedJobError(f"The run is being stopped; the {self._job} was saved before.")

    def write(
        self, description: Mapping[str, Any], tensors: Mapping[str, Tensor], environment: Mapping[str, Any]
    ) -> None:
        """Writes a state in place of the one before.

        When the file cannot be written, a warning is printed to stderr and the job continues; a full disk,
        which would lose its result, ends the run.

        Args:
            description: serializable as JSON.
            tensors: contiguous, on the CPU, none sharing memory with another.
            environment: serializable as JSON; what must be the same for the job to resume.

        Raises:
            StorageFullError: when the disk is full.
            InterruptedJobError: when the run is being stopped; the state is written then.
        """
        about = {"about": json.dumps({**description, "environment": dict(environment)})}
        started = time.perf_counter()
        try:
            write_tensors(
                self.path, lambda path, metadata: save_file(dict(tensors), path, {**about, **metadata})
            )
        except (OSError, SafetensorError) as error:
            warn(f"warning: the running {self._job} cannot be saved to {self.path}: {error}")
        if self._every:
            self._every = max(self._every, _SHARE * (time.perf_counter() - started))
        self._last = time.monotonic()
        if self._stop:
            raise InterruptedJobError(f"The run is being stopped; the {self._job} is saved.")

    def read(self, environment: Mapping[str, Any]) -> State | None:
        """Reads the state, unless it is of another environment.

        Returns:
            The state, its tensors on the CPU and perhaps mapped from the file; None where there is no file,
            or it is damaged or of another environment. A damaged file is set aside, with a line on stderr.

        Raises:
            UnreadableFileError: when the file cannot be read.
        """
        try:
            check_tensors(self.path)
        except FileNotFoundError:
            return None
        except DamagedFileError as error:
            set_aside(self.path, error.reason)
            return None
        try:
            with safe_open(self.path, framework="pt") as file:
                description = json.loads((file.metadata() or {})["about"])
                if description.pop("environment") != json.loads(json.dumps(dict(environment))):
                    return None
                return description, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError, KeyError, ValueError):
            return None

    def set_aside(self, reason: str) -> None:
        """Renames the file, because what it holds cannot be used; the reason is a clause."""
        set_aside(self.path, reason)

    def description(self) -> dict[str, Any] | None:
        """Reads the description of the last write; None where there is no sound file."""
        try:
            with safe_open(self.path, framework="numpy") as file:
                found: dict[str, Any] = json.loads((file.metadata() or {})["about"])
                return found
        except (OSError, SafetensorError, KeyError, ValueError):
            return None
