"""Checkpoints: a model's weights in a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from benchmark.core.errors import CheckpointError
from benchmark.core.files import write_atomically


def save_checkpoint(model: nn.Module, path: Path) -> None:
    """Write a model's parameters and buffers as safetensors, atomically; shared ones under each name."""
    # Copies, since safetensors rejects tensors that share memory.
    weights = {
        name: value.detach().to("cpu", copy=True).contiguous() for name, value in model.state_dict().items()
    }
    write_atomically(path, lambda file: save_file(weights, file))


def load_checkpoint(model: nn.Module, path: Path) -> None:
    """Read a model's parameters and buffers.

    Raises:
        CheckpointError: when the file is missing or damaged, or does not fit the model.
    """
    try:
        weights = load_file(path)
    except (OSError, SafetensorError) as error:
        reason = str(error).split("\n", 1)[0]
        raise CheckpointError(
            f"The checkpoint {path} cannot be used ({reason}); delete it and run again."
        ) from None
    load_weights(model, weights, f"checkpoint {path}")


def load_weights(model: nn.Module, weights: Mapping[str, Tensor], source: str) -> None:
    """Set a model's parameters and buffers.

    Args:
        model: the model.
        weights: by the names of its state.
        source: where they are from, in words for messages.

    Raises:
        CheckpointError: when names or shapes differ from the model's, with the first that does.
    """
    try:
        model.load_state_dict(dict(weights))
    except RuntimeError as error:
        reason = _difference(model.state_dict(), weights) or str(error).split("\n", 1)[0]
        raise CheckpointError(
            f"The {source} does not fit the model that `build` makes: {reason}. What is created or sized "
            "while training cannot be loaded: give parameters and buffers their final size in `build`."
        ) from None


def _difference(state: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> str:
    """Describe the first difference between names and shapes; empty without any."""
    for name in sorted(state.keys() | weights.keys()):
        if name not in state:
            return f"it holds {name}, which the model has not"
        if name not in weights:
            return f"it lacks {name}"
        if state[name].shape != weights[name].shape:
            shapes = tuple(weights[name].shape), tuple(state[name].shape)
            return f"{name} has shape {shapes[0]} in it and {shapes[1]} in the model"
    return ""
