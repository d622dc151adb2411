"""Arrays of cells that were read lately: tables, rank intervals and figures read the same ones in turn."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np

from benchmark.records import Store

LIMIT = 256_000_000


class KeptArrays:
    """Keeps the arrays of cells in memory, up to a limit.

    Args:
        store: where they are.
        limit: bytes that are kept at most; those read longest ago are dropped first.
    """

    def __init__(self, store: Store, limit: int = LIMIT) -> None:
        self._store = store
        self._limit = limit
        self._bytes = 0
        self._kept: OrderedDict[str, dict[str, np.ndarray]] = OrderedDict()

    def __reduce__(self) -> tuple[type[KeptArrays], tuple[Store, int]]:
        """Travels to other processes without the arrays."""
        return KeptArrays, (self._store, self._limit)

    def of(self, cell_id: str) -> dict[str, np.ndarray]:
        """The arrays of a cell; empty when it has none.

        Raises:
            CheckpointError: when the file is damaged or cannot be read.
        """
        if cell_id in self._kept:
            self._kept.move_to_end(cell_id)
            return self._kept[cell_id]
        arrays = self._store.arrays(cell_id)
        for array in arrays.values():
            array.flags.writeable = False
        self._kept[cell_id] = arrays
        self._bytes += _size(arrays)
        while self._bytes > self._limit:
            _, dropped = self._kept.popitem(last=False)
            self._bytes -= _size(dropped)
        return arrays


def _size(arrays: dict[str, np.ndarray]) -> int:
    return sum(array.nbytes for array in arrays.values())
