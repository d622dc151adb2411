"""A cache of tensors in files, so that they are computed once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from benchmark.core.errors import BenchmarkError
from benchmark.core.files import replacing


def cached(path: Path, make: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
    """Read named tensors from a safetensors file; compute and write them when it is missing or damaged.

    The path must identify everything that the tensors depend on. The file appears complete or not at all, so
    several processes may call this at once.

    Args:
        path: the file; its folder is created when it does not exist.
        make: computes the tensors.

    Returns:
        The tensors by name, on the CPU.

    Raises:
        BenchmarkError: when the file cannot be written.
    """
    tensors = _read(path)
    if tensors is None:
        tensors = {name: tensor.contiguous() for name, tensor in make().items()}
        _write(path, tensors)
    return tensors


def fingerprint(*parts: object) -> str:
    """Return a short hexadecimal hash, for file names, of parts that can be serialized as JSON."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _digest(tensors: dict[str, Tensor]) -> str:
    """Hash names, types, shapes and values: safetensors itself does not detect a flipped bit."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _read(path: Path) -> dict[str, Tensor] | None:
    """Read the tensors of a file; None when it is missing or damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
            expected = (file.metadata() or {}).get("sha256")
    except (OSError, SafetensorError):
        return None
    return tensors if _digest(tensors) == expected else None


def _write(path: Path, tensors: dict[str, Tensor]) -> None:
    try:
        with replacing(path) as temporary:
            save_file(tensors, temporary, metadata={"sha256": _digest(tensors)})
    except (OSError, SafetensorError) as error:
        raise BenchmarkError(f"Cannot write the cache file {path}: {error}.") from None
