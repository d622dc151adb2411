"""The saved state of an unfinished attack, from which an interrupted attack resumes."""

from __future__ import annotations

import hashlib
import shutil
import time
from pathlib import Path
from typing import Any

from torch import Tensor

from attacks import Problem
from benchmark.core.generators import generator_states, set_generators
from benchmark.core.nested_tensors import pack, unpack
from benchmark.core.output import warn
from benchmark.core.state_file import StateFile
from benchmark.jobs.context import RunContext

_STATE, _GENERATOR, _IMAGES = "state.", "generator.", "images"

_LOOK = 0.5
"""Seconds between two looks whether the run is being stopped: a look asks the file system."""

_FREE = 0.5
"""Fraction of the free space of a disk that a state may take; the one before is there until it is written."""


class AttackSavePoint:
    """A file that holds the state of an attack between two batches or steps, as `attacks.SavePoint` says.

    A resumed attack gives the same result as an uninterrupted one, bit for bit on one processor, and the same
    counts. The state holds the attacked images so far, and between steps those of the running batches with
    what their updates keep; it is not saved where it would take more than half of the free space of the disk.

    Args:
        path: the file, written atomically.
        problem: the attack's task, with the counters of its models.
        context: the context of the run.

    Attributes:
        seconds_before: what the time since this was made must be increased by to be that of the whole attack.
    """

    def __init__(self, path: Path, problem: Problem, context: RunContext) -> None:
        self.seconds_before = 0.0
        self._file = StateFile(path, "attack", context.save_every, context.stopping)
        self._problem = problem
        self._environment = _environment(problem, context)
        self._started = time.perf_counter()
        self._pause = min(_LOOK, context.save_every)
        self._looked = -self._pause
        self._loops = 0
        self._found = self._file.read(self._environment)
        self._too_large = False

    def read(self) -> tuple[dict[str, Any], Tensor | None] | None:
        """Returns the state that the next loop resumes from; None where it starts from the beginning."""
        self._loops += 1
        if self._found is None or self._found[0]["loop"] != self._loops:
            return None
        description, tensors = self._found
        state = unpack(description["state"], _with_prefix(_STATE, tensors), self._problem.device)
        return state, tensors.get(_IMAGES)

    def rewind(self) -> None:
        """Sets generators, counters, progress and clock to what they were when the read state was saved."""
        assert self._found is not None
        description, tensors = self._found
        set_generators(_with_prefix(_GENERATOR, tensors), self._problem.device)
        for counter, units in zip(self._problem.counters, description["cost_units"], strict=True):
            counter.forward, counter.backward = units
        self.seconds_before = description["seconds"] - (time.perf_counter() - self._started)
        self._problem.watch.resume(description.get("steps", 0))
        self._found = None

    def due(self) -> bool:
        """Whether the state is to be saved now; not while what came before the saved one runs again.

        Raises:
            InterruptedJobError: when the run is being stopped then.
        """
        now = time.monotonic()
        if self._too_large or now - self._looked < self._pause:
            return False
        self._looked = now
        if self._found is not None:  # what came before the saved loop runs again
            self._file.keep()
            return False
        return self._file.due()

    def save(self, state: dict[str, Any], images: Tensor | None) -> None:
        """Saves a state in place of the one before.

        Raises:
            StorageFullError: when the disk is full.
            InterruptedJobError: when the run is being stopped; the state is saved then.
        """
        described, packed = pack(state)
        tensors = {_STATE + name: value for name, value in packed.items()}
        if images is not None:
            tensors[_IMAGES] = images.detach().cpu().contiguous()
        generators = generator_states(self._problem.device)
        tensors |= {_GENERATOR + name: value for name, value in generators.items()}
        if not self._has_room(sum(value.nbytes for value in tensors.values())):
            return
        description = {
            "state": described,
            "loop": self._loops,
            "cost_units": [[counter.forward, counter.backward] for counter in self._problem.counters],
            "steps": self._problem.watch.done,
            "seconds": self.seconds_before + time.perf_counter() - self._started,
        }
        self._file.write(description, tensors, self._environment)

    def _has_room(self, size: int) -> bool:
        """Whether the disk has room for a state of a size in bytes; says so where it has not."""
        folder = self._file.path.parent
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
        if size <= _FREE * free:
            return True
        self._too_large = True
        warn(
            f"warning: the running attack is not saved on the way: its state takes {size / 1e9:.1f} GB, and "
            f"{free / 1e9:.1f} GB are free in {folder}. If it is interrupted, it starts over."
        )
        return False


def _environment(problem: Problem, context: RunContext) -> dict[str, Any]:
    """What must be the same for an attack to resume: batches, attacked images, device and packages."""
    perturbed = problem.perturbed.cpu().contiguous().numpy()
    return {
        "device": problem.device.type,
        "offloaded": problem.is_offloaded,
        "batch_size": problem.batch_size,
        "attacked": hashlib.sha256(perturbed.tobytes()).hexdigest(),
        "packages": context.provenance().packages,
    }


def _with_prefix(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin with a prefix, keyed by the names without it."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
