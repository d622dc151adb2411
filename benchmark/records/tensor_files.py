"""Files of arrays beside records: written with a seal, checked, and read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from benchmark.core.errors import DamagedFileError
from benchmark.core.sealed import UnsealedFileError, check_tensors, write_tensors
from benchmark.records.keys import ModelKey


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray], key: ModelKey | None) -> None:
    """Writes arrays to a safetensors file, atomically and with a seal.

    Args:
        path: the file.
        arrays: the arrays by name.
        key: what they belong to, for the header; None for nothing.
    """
    # np.ascontiguousarray makes a number an array of one.
    whole = {name: np.ascontiguousarray(array).reshape(np.shape(array)) for name, array in arrays.items()}
    write_tensors(
        path,
        lambda temporary, metadata: save_file(whole, temporary, metadata),
        None if key is None else key.model_dump(mode="json"),
    )


def read_arrays(path: Path, unchecked: Callable[[], bool]) -> dict[str, np.ndarray]:
    """Reads arrays that are those that were written.

    Args:
        path: the file.
        unchecked: whether the file may lack a seal; it is asked only where one lacks.

    Raises:
        DamagedFileError: when the file is damaged or cannot be read.
    """
    try:
        check_arrays(path, unchecked)
        return dict(load_file(path))
    except (SafetensorError, OSError) as error:
        raise DamagedFileError(path, str(error).split("\n", 1)[0]) from None


def check_arrays(path: Path, unchecked: Callable[[], bool]) -> None:
    """Checks that a file's arrays are those that were written.

    Args:
        path: the file.
        unchecked: whether the file may lack a seal; it is asked only where one lacks.

    Raises:
        FileNotFoundError: when there is none.
        DamagedFileError: when it is damaged.
    """
    try:
        check_tensors(path)
    except UnsealedFileError:
        if not unchecked():
            raise
