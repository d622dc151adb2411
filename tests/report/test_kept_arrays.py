"""Arrays that a report keeps in memory."""

import pickle

import numpy as np
import pytest

from benchmark.records import Store
from benchmark.report.kept_arrays import KeptArrays

from .fake_run import FakeRun


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, list[str]]:
    output = tmp_path_factory.mktemp("run")
    manifest = FakeRun(weakness={"vanilla": 0.9}, seeds=(0,), curve_eps=()).write(output)
    return Store(output), [cell.id for cell in manifest.cells]


def test_arrays_are_read_once_and_cannot_be_written_to(run: tuple[Store, list[str]]) -> None:
    store, (cell, *_) = run
    kept = KeptArrays(store)
    found = kept.of(cell)
    assert found is kept.of(cell)
    for name, array in store.arrays(cell).items():
        np.testing.assert_array_equal(found[name], array)
        with pytest.raises(ValueError, match="read-only"):
            found[name][:1] = 0


def test_those_read_longest_ago_are_dropped_first(run: tuple[Store, list[str]]) -> None:
    store, (first, second, third, *_) = run
    sizes = [sum(array.nbytes for array in store.arrays(cell).values()) for cell in (first, second, third)]
    kept = KeptArrays(store, limit=sum(sizes) - 1)
    before = {cell: kept.of(cell) for cell in (first, second)}
    kept.of(first)
    kept.of(third)
    assert kept.of(first) is before[first]
    assert kept.of(second) is not before[second]


def test_they_do_not_travel_to_other_processes(run: tuple[Store, list[str]]) -> None:
    store, cells = run
    kept = KeptArrays(store)
    empty = len(pickle.dumps(kept))
    for cell in cells:
        kept.of(cell)
    assert len(pickle.dumps(kept)) == empty
    assert pickle.loads(pickle.dumps(kept)).of(cells[0]).keys() == kept.of(cells[0]).keys()
