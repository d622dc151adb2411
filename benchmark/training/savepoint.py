"""The saved state of an unfinished training, from which an interrupted training resumes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler

from benchmark.core.generators import generator_states, set_generators
from benchmark.core.state_file import StateFile

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
        self._file = StateFile(path, "training", every, stopping)
        self._packages = dict(packages or {"torch": str(torch.__version__)})

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
        if not self._file.due():
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
            **{_GENERATOR + name: value for name, value in generator_states(_device(model)).items()},
        }
        description = {
            "notes": dict(notes),
            "groups": state["param_groups"],
            "schedule": schedule.state_dict(),
        }
        # Copies, since safetensors rejects tensors that share memory, as shared proxies do.
        copies = {name: value.detach().to("cpu", copy=True).contiguous() for name, value in tensors.items()}
        self._file.write(description, copies, self._environment(model))

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
        found = self._file.read(self._environment(model))
        if found is None:
            return None
        description, tensors = found
        if missing := [name for name in needed if name not in description["notes"]]:
            self._file.set_aside(f"it has no {missing[0]}")
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
        device = _device(model)
        set_generators(_with_prefix(_GENERATOR, tensors), device)
        return description["notes"], {
            name: value.to(device) for name, value in _with_prefix(_BEST, tensors).items()
        }

    def _environment(self, model: nn.Module) -> dict[str, Any]:
        """Device type and package versions, which must be the same for a training to resume."""
        return {"device": _device(model).type, "packages": self._packages}

    def notes(self) -> dict[str, Any] | None:
        """Reads the notes of the last write; None where there is no sound file."""
        description = self._file.description()
        return None if description is None else description.get("notes")


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
