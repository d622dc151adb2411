import stat

import numpy as np
import pytest

from benchmark.core.errors import CheckpointError, UsageError
from benchmark.records import CellKey, CellRecord, ModelRecord
from benchmark.records.provenance import provenance
from benchmark.records.store import Store


def record(**changes) -> CellRecord:
    key = CellKey(
        dataset="d",
        backbone="b",
        loss="l",
        defense="v",
        seed=0,
        scenario="clustering",
        attack="a",
        norm="linf",
        eps=0.1,
    )
    values = {
        "id": "x",
        "model_id": "m",
        "key": key,
        "status": "done",
        "provenance": provenance("a processor", "0123abc"),
        **changes,
    }
    return CellRecord(**values)


def test_round_trip(tmp_path):
    store = Store(tmp_path)
    saved = record(metrics={"ami": 0.25})
    store.save_cell(saved, {"success": np.array([0.5, 1.0], dtype=np.float32)})
    assert store.cell("x") == saved.model_copy(update={"arrays": ["success"]})
    np.testing.assert_array_equal(store.arrays("x")["success"], [0.5, 1.0])
    assert store.cell("y") is None
    assert store.arrays("y") == {}


def test_a_damaged_record_counts_as_absent_and_a_damaged_array_is_reported(tmp_path):
    store = Store(tmp_path)
    store.save_cell(record(), {"a": np.zeros(3)})
    (path,) = (tmp_path / "store" / "cells").glob("*.json")
    path.write_text(path.read_text()[:20])
    assert store.cell("x") is None
    (arrays,) = (tmp_path / "store" / "arrays").glob("*")
    arrays.write_bytes(b"nonsense")
    with pytest.raises(CheckpointError, match="delete it"):
        store.arrays("x")


def test_an_output_that_is_a_file_is_a_usage_error(tmp_path):
    path = tmp_path / "file"
    path.write_text("")
    with pytest.raises(UsageError, match="cannot be written"):
        Store(path).check_writable()


def test_a_folder_without_a_run_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match="There is no run"):
        Store(tmp_path).manifest()


def test_files_can_be_read_by_others(tmp_path):
    store = Store(tmp_path)
    store.save_cell(record())
    (path,) = (tmp_path / "store" / "cells").glob("*.json")
    assert path.stat().st_mode & stat.S_IRGRP


def test_the_state_of_a_training_goes_when_it_is_done(tmp_path):
    store = Store(tmp_path)
    store.check_writable()
    key = record().key.model

    def trained(name, status):
        return ModelRecord(id=name, key=key, status=status, provenance=provenance("a processor", "0123abc"))

    for name in ("one", "two", "three"):
        store.unfinished(name).write_text("state")
    store.save_model(trained("one", "done"))
    store.save_model(trained("two", "failed"))
    assert [store.unfinished(name).exists() for name in ("one", "two", "three")] == [False, True, True]
    store.unfinished("one").write_text("of a second run that was slower and was killed")
    store.check_writable()
    assert [store.unfinished(name).exists() for name in ("one", "two", "three")] == [False, True, True]
