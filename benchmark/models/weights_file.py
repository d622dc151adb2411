"""Weights files: read without running code from them, and loaded only if every key fits."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from zipfile import is_zipfile

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from benchmark.core.errors import UsageError
from benchmark.core.files import content_digest

SUFFIXES = (".safetensors", ".pth", ".pt")
"""Suffixes of the files that can be read."""

_NESTED = ("state_dict", "model", "model_state_dict", "net")
"""Keys under which training scripts store a state dict in their checkpoints."""

_WRAPPER = "module."
"""Prefix that torch's data-parallel wrappers add to every key."""


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a file by their keys.

    Args:
        path: a `.safetensors` file, or a `.pth` or `.pt` file with a state dict, alone or in a training
            checkpoint, of a network or of its data-parallel wrapper.

    Raises:
        UsageError: when the file is missing or damaged, or contains anything but tensors.
    """
    _must_exist(path)
    found = _read_safetensors(path) if path.suffix == ".safetensors" else _read_pickled(path)
    if not isinstance(found, Mapping):
        raise UsageError(f"The weights file {path} contains no state dict but {type(found).__name__}.")
    nested = [found[name] for name in _NESTED if isinstance(found.get(name), Mapping)]
    state = nested[0] if nested else found
    for key, value in state.items():
        if not (isinstance(key, str) and isinstance(value, Tensor)):
            raise UsageError(f"The weights file {path} contains no state dict: '{key}' names no tensor.")
    wrapped = all(key.startswith(_WRAPPER) for key in state)
    return {key.removeprefix(_WRAPPER) if wrapped else key: value for key, value in state.items()}


def _read_safetensors(path: Path) -> Any:
    try:
        return load_file(path)
    except Exception as error:  # damaged files raise many types
        reason = (str(error).strip() or type(error).__name__).split("\n", 1)[0]
        raise UsageError(f"The weights file {path} cannot be read: {reason}") from None


def _read_pickled(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise UsageError(f"The weights file {path} cannot be read: {error.strerror or error}.") from None
    except Exception as error:  # as above; torch's own message suggests running the code in the file
        intact = isinstance(error, UnpicklingError) and is_zipfile(path)
        holds = "contains" if intact else "cannot be read: it is damaged, or contains"
        raise UsageError(
            f"The weights file {path} {holds} more than tensors. No code in it was run; save only its "
            "state_dict()."
        ) from None


def load_weights(network: nn.Module, path: Path, classifier: tuple[str, ...]) -> None:
    """Load a file into a network without a classifier; every other weight must exist and fit.

    Args:
        network: the network, changed in place.
        path: as for `read_weights`.
        classifier: modules whose keys in the file are ignored where the network does not have them.

    Raises:
        UsageError: when the file cannot be read, or for the first key that is missing, unexpected, of the
            wrong shape or not finite.
    """
    own = network.state_dict()
    ignored = tuple(f"{name}." for name in classifier)
    read = read_weights(path)
    weights = {key: value for key, value in read.items() if key in own or not key.startswith(ignored)}
    for key, value in weights.items():
        if key in own and value.shape != own[key].shape:
            wanted, found = (" x ".join(map(str, shape)) or "1" for shape in (own[key].shape, value.shape))
            raise UsageError(f"The weights file {path} does not fit: '{key}' is {found}, not {wanted}.")
        if value.is_floating_point() and not value.float().isfinite().all():
            raise UsageError(
                f"The weights file {path} cannot be used: '{key}' has values that are not finite."
            )
    unexpected = [key for key in weights if key not in own]
    if unexpected:
        raise UsageError(f"The weights file {path} does not fit: the backbone has no '{unexpected[0]}'.")
    missing = network.load_state_dict(weights, strict=False).missing_keys
    if missing:
        raise UsageError(f"The weights file {path} does not fit: it has no '{missing[0]}'.")


def weights_digest(path: Path) -> str:
    """Return the sha256 of a file.

    Raises:
        UsageError: when it is missing or cannot be read.
    """
    _must_exist(path)
    try:
        return content_digest(path)
    except OSError as error:
        raise UsageError(f"The weights file {path} cannot be read: {error.strerror}.") from None


def _must_exist(path: Path) -> None:
    if not path.is_file():
        raise UsageError(f"The weights file {path} does not exist.")
