"""Files of weights: read without running anything that they hold, and loaded only if they fit."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from benchmark.core.errors import UsageError

SUFFIXES = (".safetensors", ".pth", ".pt")
"""Names of files that can be read."""


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a file by their keys.

    Args:
        path: a `.safetensors` file, or a `.pth` or `.pt` file that holds a state dict.

    Raises:
        UsageError: when the file is missing or damaged, or holds anything but tensors.
    """
    _must_exist(path)
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        found: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file fails in many ways
        reason = (str(error).strip() or type(error).__name__).split("\n", 1)[0]
        raise UsageError(f"The weights file {path} cannot be read: {reason}") from None
    if not isinstance(found, Mapping):
        raise UsageError(f"The weights file {path} holds no state dict but {type(found).__name__}.")
    for key, value in found.items():
        if not isinstance(value, Tensor):
            raise UsageError(f"The weights file {path} holds no state dict: '{key}' is no tensor.")
    return dict(found)


def load_weights(network: nn.Module, path: Path, classifier: tuple[str, ...]) -> None:
    """Loads a file into a network that has no classifier; every other weight must be there and fit.

    Args:
        network: is changed in place.
        path: as for `read_weights`.
        classifier: modules whose keys in the file are left out if the network has them not.

    Raises:
        UsageError: when the file cannot be read, or the first key that is wrong, missing or too many.
    """
    own = network.state_dict()
    ignored = tuple(f"{name}." for name in classifier)
    read = read_weights(path)
    weights = {key: value for key, value in read.items() if key in own or not key.startswith(ignored)}
    for key, value in weights.items():
        if key in own and value.shape != own[key].shape:
            wanted, found = (" x ".join(map(str, shape)) or "1" for shape in (own[key].shape, value.shape))
            raise UsageError(f"The weights file {path} does not fit: '{key}' is {found}, not {wanted}.")
    unexpected = [key for key in weights if key not in own]
    if unexpected:
        raise UsageError(f"The weights file {path} does not fit: the backbone has no '{unexpected[0]}'.")
    missing = network.load_state_dict(weights, strict=False).missing_keys
    if missing:
        raise UsageError(f"The weights file {path} does not fit: it has no '{missing[0]}'.")


def weights_digest(path: Path) -> str:
    """The sha256 of a file.

    Raises:
        UsageError: when it is missing or cannot be read.
    """
    _must_exist(path)
    state = path.stat()
    return _digest(path, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=16)
def _digest(path: Path, modified: int, size: int) -> str:
    try:
        with path.open("rb") as file:
            digest = hashlib.sha256()
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise UsageError(f"The weights file {path} cannot be read: {error.strerror}.") from None
    return digest.hexdigest()


def _must_exist(path: Path) -> None:
    if not path.is_file():
        raise UsageError(f"The weights file {path} does not exist.")
