"""The saved state of an unfinished training, from which an interrupted training resumes."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler

from benchmark.core.errors import DamagedFileError, InterruptedJobError
from benchmark.core.files import set_aside
from benchmark.core.output import warn
from benchmark.core.sealed import check_tensors, write_tensors

_MODEL, _BEST, _OPTIMIZER, _GENERATOR = "model.", "best.", "optimizer.", "generator."


class SavePoint:
    """A file that holds the state of a training after an epoch: weights, optimizer, generators, notes.

    A resumed training gives the same result as an uninterrupted one, bit for bit on one processor, because a
    defense keeps nothing between steps outside its model.

    Args:
        path: the file (safetensors, with a JSON description in its header), written atomically.
        every: minimum number of seconds between two writes, each of four times the weights; a shorter
            training writes none.
        packages: versions of the packages that a training depends on; under other versions it is not resumed.
        stopping: says whether the run is being stopped; the training is then saved after its running epoch.
    """

    def __init__(
        self,
        path: Path,
        every: float = 0.0,
        packages: Mapping[str, str] | None = None,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self.path = path
        self._every = every
        self._stopping = stopping
        self._packages = dict(packages or {"torch": str(torch.__version__)})
        self._last = time.monotonic()

    def save(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        schedule: LRScheduler,
        best: Mapping[str, Tensor],
        notes: Mapping[str, Any],
    ) -> None:
        """Saves the state after an epoch, unless the last write is less than `every` seconds ago.

        When the file cannot be written, a warning is printed to stderr and the training continues; a full
        disk, which would lose its result, ends the run.

        Args:
            model: the model being trained.
            optimizer: its optimizer.
            schedule: the optimizer's learning-rate schedule.
            best: weights of the best epoch so far; empty where none is kept.
            notes: further state, serializable as JSON; "epoch" and "epochs" are the numbers of epochs done
                and in total.

        Raises:
            StorageFullError: when the disk is full.
            InterruptedJobError: when the run is being stopped; the state is saved then.
        """
        stopping = self._stopping()
        if not stopping and time.monotonic() - self._last < self._every:
            return
        state = optimizer.state_dict()
        tensors = {
            **{_MODEL + name: value for name, value in model.state_dict().items()},
            **{_BEST + name: value for name, value in best.items()},
            **{
                f"{_OPTIMIZER}{index}.{name}": value
                for index, values in state["state"].items()
                for name, value in values.items()
            },
            **{_GENERATOR + name: value for name, value in _generators(model).items()},
        }
        description = {
            "notes": dict(notes),
            "groups": state["param_groups"],
            "schedule": schedule.state_dict(),
            "python": random.getstate(),
            "environment": self._environment(model),
        }
        # Copies, since safetensors rejects tensors that share memory, as shared proxies do.
        copies = {name: value.detach().to("cpu", copy=True).contiguous() for name, value in tensors.items()}
        about = {"about": json.dumps(description)}
        try:
            write_tensors(self.path, lambda path, metadata: save_file(copies, path, {**about, **metadata}))
        except (OSError, SafetensorError) as error:
            warn(f"warning: the running training cannot be saved to {self.path}: {error}")
        self._last = time.monotonic()
        if stopping:
            raise InterruptedJobError("The run is being stopped; the training is saved.")

    def restore(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        schedule: LRScheduler,
        needed: Iterable[str] = (),
    ) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
        """Restores the saved state into freshly built objects, and the states of the random generators.

        Args:
            model: a model of the same architecture.
            optimizer: its optimizer, with the same parameter groups.
            schedule: its schedule, of the same kind.
            needed: names that the notes must have.

        Returns:
            The notes and the best weights; None, with nothing changed, where there is no file, or it is
            damaged, of another model, or written on another type of device or under other package versions.
            A damaged file is set aside, with a line on stderr.

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
                if description["environment"] != self._environment(model):
                    return None
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        except (OSError, SafetensorError, KeyError, ValueError):
            return None
        if missing := [name for name in needed if name not in description["notes"]]:
            set_aside(self.path, f"it has no {missing[0]}")
            return None
        weights = _with_prefix(_MODEL, tensors)
        if not _fits(weights, model) or _group_sizes(description["groups"]) != _group_sizes(
            optimizer.param_groups
        ):
            return None
        model.load_state_dict(weights)
        moments: dict[int, dict[str, Tensor]] = {}
        for name, value in _with_prefix(_OPTIMIZER, tensors).items():
            index, _, key = name.partition(".")
            moments.setdefault(int(index), {})[key] = value
        optimizer.load_state_dict({"state": moments, "param_groups": description["groups"]})
        for parameter, values in optimizer.state.items():
            for name, value in values.items():
                if value.shape == parameter.shape:  # in the parameter's memory format, or steps are slow
                    values[name] = torch.empty_like(parameter).copy_(value)
        schedule.load_state_dict(description["schedule"])
        _set_generators(_with_prefix(_GENERATOR, tensors), description["python"])
        device = next(model.parameters()).device
        return description["notes"], {
            name: value.to(device) for name, value in _with_prefix(_BEST, tensors).items()
        }

    def _environment(self, model: nn.Module) -> dict[str, Any]:
        """Device type and package versions, which must be the same for a training to resume."""
        return {"device": _device(model).type, "packages": self._packages}

    def notes(self) -> dict[str, Any] | None:
        """Reads the notes of the last write; None where there is no sound file."""
        try:
            with safe_open(self.path, framework="numpy") as file:
                notes: dict[str, Any] = json.loads((file.metadata() or {})["about"])["notes"]
                return notes
        except (OSError, SafetensorError, KeyError, ValueError):
            return None


def _with_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin with a prefix, keyed by the names without it."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _fits(weights: Mapping[str, Tensor], model: nn.Module) -> bool:
    """Whether weights can be loaded into a model: the same names, and the same shapes of parameters.

    Buffers may differ in shape, since some grow during training (the stored images of mixup inference).
    """
    shapes = {name: value.shape for name, value in model.named_parameters()}
    return weights.keys() == model.state_dict().keys() and all(
        weights[name].shape == shape for name, shape in shapes.items()
    )


def _group_sizes(groups: list[dict[str, Any]]) -> list[int]:
    return [len(group["params"]) for group in groups]


def _device(model: nn.Module) -> torch.device:
    return next((parameter.device for parameter in model.parameters()), torch.device("cpu"))


def _generators(model: nn.Module) -> dict[str, Tensor]:
    """The states of torch's and NumPy's global generators, as tensors."""
    _, keys, position, has_gauss, gauss = np.random.get_state(legacy=True)
    states = {
        "torch": torch.get_rng_state(),
        "numpy": torch.tensor([*map(int, keys), position, has_gauss], dtype=torch.int64),
        "gauss": torch.tensor(gauss, dtype=torch.float64),
    }
    if _device(model).type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state()
    return states


def _set_generators(states: Mapping[str, Tensor], python: list[Any]) -> None:
    version, internal, gauss = python
    random.setstate((version, tuple(internal), gauss))
    *keys, position, has_gauss = states["numpy"].tolist()
    np.random.set_state(
        ("MT19937", np.array(keys, dtype=np.uint32), position, has_gauss, float(states["gauss"]))
    )
    torch.set_rng_state(states["torch"])
    if "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"])
