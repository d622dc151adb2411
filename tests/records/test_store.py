import json
import stat

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from benchmark.core.errors import CheckpointError, UsageError
from benchmark.core.sealed import write_tensors
from benchmark.records import CellKey, CellRecord, ModelRecord, RunManifest
from benchmark.records.metric_ranges import wrong_metric, wrong_number
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


def test_the_state_of_an_attack_that_another_run_has_done_goes(tmp_path):
    store = Store(tmp_path)
    store.check_writable()
    done, failed = record(id="done"), record(id="failed", status="failed")
    for one in (done, failed):
        store.save_cell(one)
        store.unfinished(one.id).write_text("state")
    store.check_writable()
    assert [store.unfinished(one.id).exists() for one in (done, failed)] == [False, True]


def later(store, **changes):
    """Saves a cell of a version of the protocol that writes checksums."""
    saved = record(**changes)
    saved = saved.model_copy(update={"provenance": saved.provenance.model_copy(update={"protocol": "99"})})
    store.save_cell(saved, {"success": np.ones(3), "queries": np.arange(3)})
    return store.root / "cells" / "x.json", store.root / "arrays" / "x.safetensors"


def strip(path):
    """Removes the checksum of a record, and all that says that there was one."""
    content = json.loads(path.read_text())
    for name in ("schema", "stored_as", "checksum"):
        del content[name]
    path.write_text(json.dumps(content))


def test_a_record_without_a_checksum_is_believed_only_of_a_version_that_wrote_none(tmp_path):
    store = Store(tmp_path)
    path, _ = later(store)
    assert store.finished("x")
    strip(path)
    assert (
        store.cell("x") is None
        and store.examined("x").damage == "its record on disk is damaged: it has no checksum"
    )
    path.write_text(path.read_text().replace('"99"', '"3"'))
    assert store.cell("x").status == "done" and store.examined("x").damage == ""


def test_arrays_without_a_checksum_are_believed_only_beside_such_a_record(tmp_path):
    store = Store(tmp_path)
    path, arrays = later(store)
    save_file(load_file(arrays), arrays)
    assert store.finished("x") is None and store.examined("x").damage.startswith(
        "its arrays on disk are damaged: "
    )
    strip(path)
    path.write_text(path.read_text().replace('"99"', '"3"'))
    assert store.finished("x") and store.arrays("x").keys() == {"success", "queries"}


def test_arrays_that_lack_what_the_record_names_are_made_again(tmp_path, capsys):
    store = Store(tmp_path, heal=True)
    _, path = later(store)
    write_tensors(path, lambda to, metadata: save_file({"queries": np.arange(3)}, to, metadata))
    assert store.examined("x").damage == "its arrays on disk lack success"
    assert store.finished("x") is None
    assert f"{path} is damaged (it lacks success): renamed to " in capsys.readouterr().err
    assert not path.exists()


def test_a_cell_that_names_no_arrays_is_finished_without_them(tmp_path):
    store = Store(tmp_path)
    store.save_cell(record(notes=["Not attacked: at chance."]))
    assert store.finished("x") and not store.arrays("x")
    store.save_cell(record(), {"success": np.zeros(2)})
    next((tmp_path / "store" / "arrays").iterdir()).unlink()
    assert store.finished("x") is None
    (path,) = (tmp_path / "store" / "cells").glob("*.json")
    store.save_cell(record(provenance=record().provenance.model_copy(update={"protocol": "4"})))
    strip(path)  # such a version named no arrays
    assert store.cell("x") and store.finished("x") is None


def test_only_a_store_that_heals_renames(tmp_path, capsys):
    path, arrays = later(Store(tmp_path))
    for damaged in (path, arrays):
        damaged.write_bytes(b"")
    assert Store(tmp_path).cell("x") is None and path.exists() and capsys.readouterr().err == ""
    assert Store(tmp_path, heal=True).cell("x") is None and not path.exists() and arrays.exists()
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    ("metrics", "reason"),
    [
        ({"ami": -1.5}, "the metric ami is -1.5, outside its range [-1, 1]"),
        ({"ami": -0.04, "r1": 1.2}, "the metric r1 is 1.2, outside its range [0, 1]"),
        ({"constant_x": 40.0, "map_r": -0.1}, "the metric map_r is -0.1, outside its range [0, 1]"),
    ],
)
def test_metrics_outside_their_ranges_are_damage(tmp_path, metrics, reason):
    store = Store(tmp_path)
    later(store, metrics=metrics)
    assert (
        store.cell("x") is None and store.examined("x").damage == f"its record on disk is damaged: {reason}"
    )


def test_metrics_that_are_not_finite_are_not_written(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        Store(tmp_path).save_cell(record(metrics={"ami": float("nan")}))
    assert wrong_metric({"ami": float("nan")}) == "the metric ami is nan, not a finite number"
    assert wrong_number({"a": None, "b": float("inf")}) == "b is inf, not a finite number"
    assert wrong_metric({"ami": -0.05, "nmi": 1.0, "own": 7.0}) == wrong_number({"a": 1.0}) == ""


def test_what_cannot_be_read_stops_a_run_and_fails_a_cell_of_a_report(tmp_path, monkeypatch):
    store = Store(tmp_path, heal=True)
    path, _ = later(store)

    def refused(_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(path), "read_bytes", refused)
    with pytest.raises(UsageError, match=rf"^{path} cannot be read: Permission denied\. Make it readable"):
        store.cell("x")
    assert store.examined("x").damage == "cells/x.json cannot be read: Permission denied"
    assert path.exists()


def test_an_empty_grid_is_a_usage_error(tmp_path):
    path = tmp_path / "store" / "run.json"
    manifest = RunManifest(
        command="c",
        config={},
        suite="s",
        compute=[],
        references=[],
        models=[],
        cells=[],
        provenance=record().provenance,
    )
    Store(tmp_path).save_manifest(manifest)
    with pytest.raises(UsageError, match=rf"{path}, cannot be used \(it lists no models and no cells\)"):
        Store(tmp_path).manifest()


def test_the_files_of_a_cell_and_of_a_model_are_found_by_their_id(tmp_path):
    store = Store(tmp_path)
    store.save_cell(record(), {"success": np.zeros(3, np.float32)})
    store.save_cell(record(id="xx"))
    store.save_images("x", {"images": np.zeros(3, np.float32)})
    assert [str(path) for path in store.files_of("x")] == ["arrays/x.safetensors", "cells/x.json"]
    for path in (store.checkpoint("m"), store.unfinished("m")):
        path.parent.mkdir(parents=True)
        path.touch()
    assert [str(path) for path in store.files_of("m")] == ["models/m.safetensors", "unfinished/m.safetensors"]
    assert store.files_of("other") == []
