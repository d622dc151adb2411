"""Embeddings of clean pools in the store: sealed, and never needed, because jobs can compute them again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from benchmark.core.errors import DamagedFileError
from benchmark.core.files import set_aside
from benchmark.core.sealed import check_tensors, write_tensors
from benchmark.records.keys import ModelKey
from benchmark.records.store import Store


def embeddings_path(store: Store, pool_id: str) -> Path:
    """The path of the embeddings of a clean pool under one model (safetensors)."""
    return store.root / "embeddings" / f"{pool_id}.safetensors"


def save_embeddings(store: Store, pool_id: str, embeddings: dict[str, np.ndarray], key: ModelKey) -> None:
    """Writes embeddings of a clean pool atomically.

    Args:
        store: where to.
        pool_id: id of the model and of all else that the embeddings depend on.
        embeddings: arrays by name.
        key: the key of the model.
    """
    path = embeddings_path(store, pool_id)
    whole = {name: np.ascontiguousarray(array) for name, array in embeddings.items()}
    write_tensors(
        path, lambda temporary, metadata: save_file(whole, temporary, metadata), key.model_dump(mode="json")
    )


def read_embeddings(store: Store, pool_id: str) -> dict[str, np.ndarray]:
    """Reads embeddings of a clean pool; empty where there are none, or they are not what was written.

    Damaged ones are renamed to NAME.damaged, with a line on stderr.

    Raises:
        UnreadableFileError: when they cannot be read.
    """
    path = embeddings_path(store, pool_id)
    try:
        check_tensors(path)
        return dict(load_file(path))
    except FileNotFoundError:
        return {}
    except DamagedFileError as error:
        set_aside(path, error.reason)
        return {}
