"""Names the images that a caller gives as a data set."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import torch
from safetensors.torch import save_file
from torch import Tensor

from benchmark.api.checked_images import check_images, check_integers, check_labels, check_queries
from benchmark.core.errors import UsageError
from benchmark.core.files import expand_home, write_atomically
from benchmark.core.spec import format_spec
from benchmark.data import DATASETS

Data: TypeAlias = str | Path | Sequence[Tensor | None]
"""A data set's spec; a folder with one of images for each class; or (images, labels[, ids[, queries]])."""

_PARTS = ("images", "labels", "ids", "queries")


def dataset_spec(data: Data, folder: Path) -> str:
    """Returns the spec of a data set.

    Args:
        data: what the caller gave.
        folder: where tensors are written, in a file named by its content.

    Raises:
        UsageError: when it is none of these, or a tensor does not fit the others.
    """
    if isinstance(data, Path):
        return _folder_spec(data)
    if isinstance(data, str):
        is_path = data not in DATASETS.names() and expand_home(Path(data)).is_dir()
        return _folder_spec(Path(data)) if is_path else data
    if not holds_images(data):
        raise UsageError(
            "data must be the name of a data set, a folder, or (images, labels[, ids[, queries]]), "
            f"not {_described(data)}."
        )
    return _tensors_spec(_checked(*data), folder)


def holds_images(data: object) -> bool:
    """Whether what the caller gave are images themselves, which have no budget of their own."""
    return isinstance(data, Sequence) and not isinstance(data, str) and 2 <= len(data) <= len(_PARTS)


def _described(data: object) -> str:
    return f"{type(data).__name__} of {len(data)}" if isinstance(data, Sequence) else type(data).__name__


def _folder_spec(path: Path) -> str:
    absolute = expand_home(path).absolute()
    if not absolute.is_dir():
        raise UsageError(f"There is no folder {absolute}.")
    return format_spec(f"folder:{absolute}", {})


def _checked(
    images: Tensor | None, labels: Tensor | None, ids: Tensor | None = None, queries: Tensor | None = None
) -> dict[str, Tensor]:
    if isinstance(images, Tensor) and images.dtype == torch.uint8 and images.dim() == 4:
        pixels = images  # a data set may hold them as they are in files
    else:
        pixels = check_images(images)
    count = len(pixels)
    tensors = {"images": pixels, "labels": check_labels(labels, count)}
    if ids is not None:
        tensors["ids"] = check_integers("ids", ids, count)
        if len(tensors["ids"].unique()) != count:
            raise UsageError("ids must differ from image to image.")
    if queries is not None:
        tensors["queries"] = check_queries(queries, count)
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}


def _tensors_spec(tensors: dict[str, Tensor], folder: Path) -> str:
    digest = hashlib.sha256()
    for name, tensor in tensors.items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.numpy().tobytes())
    path = folder.absolute() / f"images-{digest.hexdigest()[:8]}.safetensors"
    if not path.exists():
        write_atomically(path, lambda temporary: save_file(tensors, temporary))
    return format_spec(f"tensors:{path}", {})
