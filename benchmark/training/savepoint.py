"""The state of a training that is not finished, so that one that was broken off goes on where it was."""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler

from benchmark.core.files import write_atomically

_MODEL, _BEST, _OPTIMISER, _GENERATOR = "model.", "best.", "optimiser.", "generator."


class SavePoint:
    """A file that holds a training after some epoch: weights, optimiser, generators, what was noted.

    Going on from it gives what the whole training would have given, bit for bit on one processor: a defense
    keeps nothing between steps outside its model.

    Args:
        path: the file (safetensors, its description as JSON in the header); it appears whole or not at all.
        every: seconds that must have passed since the last write, of four times the weights; short trainings
            write none.
        packages: versions of what a training depends on; under others it is not gone on with.
    """

    def __init__(self, path: Path, every: float = 0.0, packages: Mapping[str, str] | None = None) -> None:
        self.path = path
        self._every = every
        self._packages = dict(packages or {"torch": str(torch.__version__)})
        self._last = time.monotonic()

    def save(
        self,
        model: nn.Module,
        optimiser: torch.optim.Optimizer,
        schedule: LRScheduler,
        best: Mapping[str, Tensor],
        notes: Mapping[str, Any],
    ) -> None:
        """Writes the state after an epoch, if it is time.

        Args:
            model: as it is.
            optimiser: of its parameters, in their order.
            schedule: of the optimiser.
            best: weights of the best epoch so far; empty where none is kept.
            notes: what else there is to remember, as JSON can write it.

        A file that cannot be written is told on stderr, and the training goes on.
        """
        if time.monotonic() - self._last < self._every:
            return
        state = optimiser.state_dict()
        tensors = {
            **{_MODEL + name: value for name, value in model.state_dict().items()},
            **{_BEST + name: value for name, value in best.items()},
            **{
                f"{_OPTIMISER}{index}.{name}": value
                for index, values in state["state"].items()
                for name, value in values.items()
            },
            **{_GENERATOR + name: value for name, value in _generators(model).items()},
        }
        about = {
            "notes": dict(notes),
            "groups": state["param_groups"],
            "schedule": schedule.state_dict(),
            "python": random.getstate(),
            "setting": self._setting(model),
        }
        # Copies, since safetensors refuses tensors that share their memory, as shared proxies do.
        copies = {name: value.detach().to("cpu", copy=True).contiguous() for name, value in tensors.items()}
        try:
            write_atomically(self.path, lambda path: save_file(copies, path, {"about": json.dumps(about)}))
        except (OSError, SafetensorError) as error:
            sys.stderr.write(f"warning: a training in hand cannot be saved to {self.path}: {error}\n")
        self._last = time.monotonic()

    def restore(
        self, model: nn.Module, optimiser: torch.optim.Optimizer, schedule: LRScheduler
    ) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
        """Puts the state back into what was built anew, generators included.

        Args:
            model: of the same kind.
            optimiser: of the same kind.
            schedule: of the same kind.

        Returns:
            The notes and the best weights; None, with nothing changed, where there is no file, or it is
            damaged or of another model, or was written on another kind of device or under other versions.
        """
        try:
            with safe_open(self.path, framework="pt") as file:
                about = json.loads((file.metadata() or {})["about"])
                if about["setting"] != self._setting(model):
                    return None
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        except (OSError, SafetensorError, KeyError, ValueError):
            return None
        weights = _under(_MODEL, tensors)
        if not _fits(weights, model) or _sizes(about["groups"]) != _sizes(optimiser.param_groups):
            return None
        model.load_state_dict(weights)
        moments: dict[int, dict[str, Tensor]] = {}
        for name, value in _under(_OPTIMISER, tensors).items():
            index, _, key = name.partition(".")
            moments.setdefault(int(index), {})[key] = value
        optimiser.load_state_dict({"state": moments, "param_groups": about["groups"]})
        for parameter, values in optimiser.state.items():
            for name, value in values.items():
                if value.shape == parameter.shape:  # in memory as the parameter is, or steps are slow
                    values[name] = torch.empty_like(parameter).copy_(value)
        schedule.load_state_dict(about["schedule"])
        _set_generators(_under(_GENERATOR, tensors), about["python"])
        device = next(model.parameters()).device
        return about["notes"], {name: value.to(device) for name, value in _under(_BEST, tensors).items()}

    def _setting(self, model: nn.Module) -> dict[str, Any]:
        """What must be the same for a training to go on."""
        return {"device": _device(model).type, "packages": self._packages}

    def notes(self) -> dict[str, Any] | None:
        """What was noted at the last write; None where there was none."""
        try:
            with safe_open(self.path, framework="numpy") as file:
                notes: dict[str, Any] = json.loads((file.metadata() or {})["about"])["notes"]
                return notes
        except (OSError, SafetensorError, KeyError, ValueError):
            return None


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin so, by the rest of their names."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _fits(weights: Mapping[str, Tensor], model: nn.Module) -> bool:
    """Whether weights are a model's; some of its buffers may have another shape by then."""
    shapes = {name: value.shape for name, value in model.named_parameters()}
    return weights.keys() == model.state_dict().keys() and all(
        weights[name].shape == shape for name, shape in shapes.items()
    )


def _sizes(groups: list[dict[str, Any]]) -> list[int]:
    return [len(group["params"]) for group in groups]


def _device(model: nn.Module) -> torch.device:
    return next((parameter.device for parameter in model.parameters()), torch.device("cpu"))


def _generators(model: nn.Module) -> dict[str, Tensor]:
    """The states of torch's and NumPy's generators, uint8 and int64."""
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
