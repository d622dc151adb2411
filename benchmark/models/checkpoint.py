"""Checkpoints: a model's weights in a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save, save_file
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from benchmark.core.errors import BenchmarkError, CheckpointError, DamagedFileError, MisfitError
from benchmark.core.sealed import UnsealedFileError, check_tensors, write_tensors


def save_checkpoint(model: nn.Module, path: Path, key: Mapping[str, Any] | None = None) -> None:
    """Write a model's parameters and buffers as safetensors, atomically; shared ones under each name.

    Args:
        model: the model.
        path: the file, which carries a checksum and cannot be loaded from under another name.
        key: what the model is, for readers of the file.

    Raises:
        StorageFullError: when the disk is full.
        OSError: when it cannot be written.
    """
    # Copies, since safetensors rejects tensors that share memory.
    weights = {
        name: value.detach().to("cpu", copy=True).contiguous() for name, value in model.state_dict().items()
    }
    write_tensors(path, lambda file, metadata: save_file(weights, file, metadata), key)


def load_checkpoint(model: nn.Module, path: Path, unchecked: bool = False) -> None:
    """Read a model's parameters and buffers.

    Args:
        model: the model, changed in place.
        path: the file.
        unchecked: accept a file without a checksum, as earlier versions wrote.

    Raises:
        CheckpointError: when the file is missing, damaged or another model's.
        MisfitError: when it does not fit the model.
    """
    try:
        try:
            check_tensors(path)
        except UnsealedFileError:
            if not unchecked:
                raise
        weights = load_file(path)
    except FileNotFoundError:
        raise CheckpointError(
            f"There is no checkpoint {path}. The command of its run trains the model again; a merged folder "
            "has none, so take the folder that it was merged from."
        ) from None
    except DamagedFileError as error:
        raise CheckpointError(
            f"The checkpoint {path} cannot be used ({error.reason}); delete it and run again."
        ) from None
    except (OSError, SafetensorError) as error:
        reason = str(error).split("\n", 1)[0]
        raise CheckpointError(
            f"The checkpoint {path} cannot be used ({reason}); delete it and run again."
        ) from None
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        shapes = {name: value.shape for name, value in weights.items()}
        reason = _difference(shapes_of(model), shapes) or str(error).split("\n", 1)[0]
        raise _misfit(f"checkpoint {path}", reason) from None


def check_saveable(model: nn.Module) -> None:
    """Check that a model's parameters and buffers can be written to a checkpoint, before it is trained.

    Raises:
        BenchmarkError: for the first that cannot.
    """
    for name, value in model.state_dict().items():
        if isinstance(value, Tensor) and is_lazy(value):
            raise BenchmarkError(
                f"The model's {name} has no size yet. Use no lazy modules: give parameters and buffers their "
                "final size in `build`, where `member.dim` is the dimension of an embedding."
            )
        if reason := _unsaveable(value):
            raise BenchmarkError(
                f"The model's {name} cannot be saved: it is {reason}. Keep parameters and buffers as dense "
                "tensors of a real type."
            )


def _unsaveable(value: object) -> str:
    """Say why a part of a model's state cannot be saved; empty when it can."""
    if not isinstance(value, Tensor):
        return f"a {type(value).__name__}"
    if value.layout != torch.strided:
        return "a sparse tensor"
    if value.is_quantized:
        return "a quantized tensor"
    try:
        save({"value": torch.empty(0, dtype=value.dtype)})
    except (KeyError, ValueError, SafetensorError):
        return f"of type {value.dtype}"
    return ""


def shapes_of(model: nn.Module) -> dict[str, torch.Size]:
    """Return the shapes of a model's parameters and buffers, by the names of its state."""
    return {name: value.shape for name, value in model.state_dict().items()}


def resizable(model: nn.Module) -> set[str]:
    """Return the names of the state that loads in any shape: of modules with their own way of reading it."""
    readers = {
        name
        for name, module in model.named_modules()
        if type(module)._load_from_state_dict is not nn.Module._load_from_state_dict
    }
    return {name for name in model.state_dict() if name.rpartition(".")[0] in readers}


def check_shapes(model: nn.Module, built: Mapping[str, torch.Size]) -> None:
    """Check that a model in training can be loaded into one as `build` makes it.

    What a module with a `_load_from_state_dict` of its own holds may have any shape.

    Args:
        model: the model, after some training steps.
        built: what `shapes_of` returned before the first.

    Raises:
        CheckpointError: when parameters or buffers were added, removed or resized.
    """
    now = shapes_of(model)
    for name in built.keys() & resizable(model):
        now[name] = built[name]
    if reason := _difference(built, now):
        raise _misfit("trained model", reason)


def _misfit(source: str, reason: str) -> MisfitError:
    return MisfitError(
        f"The {source} does not fit the model that `build` makes: {reason}. What is created or sized "
        "while training cannot be loaded: give parameters and buffers their final size in `build`."
    )


def _difference(state: Mapping[str, torch.Size], weights: Mapping[str, torch.Size]) -> str:
    """Describe the first difference between names and shapes; empty without any."""
    for name in sorted(state.keys() | weights.keys()):
        if name not in state:
            return f"it holds {name}, which the model has not"
        if name not in weights:
            return f"it lacks {name}"
        if state[name] != weights[name]:
            return f"{name} has shape {tuple(weights[name])} in it and {tuple(state[name])} in the model"
    return ""
