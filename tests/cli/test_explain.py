import pytest
import yaml

from benchmark.cli import main
from benchmark.data.places import folders_for
from benchmark.planning.explain import identities, sources
from benchmark.planning.grid import build_grid
from benchmark.planning.manifest import make_manifest
from benchmark.planning.resolve import resolve
from benchmark.records import CellRecord, ModelRecord, Store
from benchmark.records.sources import save_sources

from ..conftest import TINY
from ..report.fake_run import provenance


def planned(folder, **changes):
    """The grid of the tiny benchmark, with other values of some sections."""
    values = {key: {**TINY.get(key, {}), **given} for key, given in changes.items()}
    file = folder / "config.yaml"
    file.write_text(yaml.safe_dump({**TINY, "attacks": ["noise"], **values}))
    config = resolve({"output": str(folder)}, file)
    return build_grid(config, folders_for()), config


def record(folder, grid):
    """Writes the records of the models and cells of a grid, as a run would."""
    store = Store(folder)
    parts = identities(grid)
    save_sources(store.root, sources(parts))
    made = {"status": "done", "provenance": provenance()}
    for ref in grid.model_refs():
        store.save_model(
            ModelRecord(id=ref.id, key=ref.key, recipe={}, eps=0.1, identity=dict(parts[ref.id]), **made)
        )
    for ref in grid.cell_refs():
        about = {"id": ref.id, "model_id": ref.model_id, "key": ref.key}
        store.save_cell(CellRecord(**about, identity=dict(parts[ref.id]), **made))
    return store


@pytest.fixture
def store(tmp_path):
    grid, config = planned(tmp_path)
    store = record(tmp_path, grid)
    store.save_manifest(make_manifest(grid, config, "command", folders_for(), provenance()))
    return store


def explain(store, wanted, capsys, status=0):
    assert main(["--explain", wanted, "--output", str(store.output)]) == status
    streams = capsys.readouterr()
    return streams.err if status else streams.out


ATTACKED = "defense=vanilla,attack=noise,scenario=clustering"


def test_an_identity_is_shown_with_its_parts_and_modules(store, capsys):
    ref = next(ref for ref in store.manifest().cells if ref.key.attack == "noise")
    shown = explain(store, ref.id[:12], capsys)
    assert shown.startswith(f"Cell {ref.id}: dataset={TINY['datasets'][0]}")
    assert "evaluation: eot=2, repeats=2" in shown and "attack: noise" in shown
    assert f"model: {ref.model_id}" in shown and "  benchmark.evaluation." in shown
    assert "computes it under this identity now" in shown and "Packages" in shown
    shown = explain(store, ref.model_id, capsys)
    assert shown.startswith("Model ") and "recipe: " in shown and "  defenses.vanilla\n" in shown


def test_a_stale_record_is_compared_with_what_is_computed_now(store, capsys, tmp_path):
    now, config = planned(tmp_path, evaluation={"eot": 3}, training={"epochs": 2})
    store.save_manifest(make_manifest(now, config, "command", folders_for(), provenance()))
    shown = explain(store, ATTACKED, capsys)
    assert "It has no record." in shown and "is a stale record of the same" in shown
    assert "  evaluation: eot: 2 -> 3" in shown
    assert "  the model's recipe: epochs: 1 -> 2" in shown
    old = next(
        path.stem for path in (store.root / "cells").iterdir() if store.cell(path.stem).key.attack == "noise"
    )
    shown = explain(store, old, capsys)
    assert "It is stale: the same command computes" in shown and "evaluation: eot: 2 -> 3" in shown


def test_changed_modules_are_named(store, capsys):
    ref = next(ref for ref in store.manifest().models if ref.key.defense == "vanilla")
    recorded = store.model(ref.id)
    modules = dict(sources({ref.id: recorded.identity})[recorded.identity["source"]])
    modules["defenses.vanilla"] = "of another time"
    del modules["defenses.base"]
    save_sources(store.root, {"older": {**modules, "defenses.gone": "x"}})
    (store.root / "models" / f"{ref.id}.json").unlink()
    store.save_model(
        recorded.model_copy(update={"id": "old", "identity": {**recorded.identity, "source": "older"}})
    )
    shown = explain(store, "old", capsys)
    assert "source: defenses.vanilla changed" in shown
    assert (
        "source: defenses.base is new" in shown and "source: defenses.gone is no part of it any more" in shown
    )
    assert shown.count("source: ") == 4


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("nothing", "No cell or model"),
        ("defense=vanilla", "fits"),
        ("defence=vanilla", "Did you mean 'defense'"),
        ("eps=x,attack=noise", "x"),
    ],
)
def test_what_names_no_cell_gets_one_line(store, capsys, wanted, message):
    shown = explain(store, wanted, capsys, status=2)
    assert message in shown and shown.count("\n") == 1


def test_a_run_whose_plugin_is_gone_shows_what_was_recorded(store, capsys):
    manifest = store.manifest()
    store.save_manifest(
        manifest.model_copy(update={"config": {**manifest.config, "plugin": ["/not/there.py"]}})
    )
    shown = explain(store, ATTACKED, capsys)
    assert "evaluation: eot=2, repeats=2" in shown
    assert "is not known: There is no plugin file" in shown
