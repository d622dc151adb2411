"""Whole runs of a tiny benchmark, through the command line's own function."""

import csv
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from benchmark.cli import main
from benchmark.records import Store
from benchmark.runner import run as runner
from benchmark.runner.executors import LocalExecutor

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("without_figures")]  # whole runs

ROOT = Path(__file__).resolve().parents[2]


def run(tiny: Path, output: Path, *more: str) -> int:
    return main(["--config", str(tiny), "--output", str(output), "--workers", "1", "--no-progress", *more])


def records(output: Path) -> dict[str, int]:
    """Time of the last change of every record and checkpoint."""
    store = output / "store"
    return {
        str(path.relative_to(store)): path.stat().st_mtime_ns
        for folder in ("models", "cells", "arrays")
        for path in (store / folder).iterdir()
    }


def values(output: Path) -> list[tuple[str, ...]]:
    """The rows of cells.csv, without what may differ between runs (seconds, commit)."""
    with (output / "cells.csv").open() as file:
        rows = list(csv.DictReader(file))
    return [tuple(v for k, v in row.items() if k not in ("seconds", "commit")) for row in rows]


def test_a_second_run_computes_nothing_and_new_things_only_add(tiny, tmp_path, monkeypatch):
    output, prepared = tmp_path / "out", []
    monkeypatch.setattr(
        LocalExecutor,
        "prepare",
        lambda executor, context, trains: prepared.append((context.workers, trains)),
    )
    assert run(tiny, output) == 0
    assert prepared == [(1, True)]
    first = records(output)
    boards = {name: (output / name).read_bytes() for name in ("leaderboard.csv", "cells.csv")}
    assert run(tiny, output) == 0
    assert records(output) == first
    assert {name: (output / name).read_bytes() for name in boards} == boards
    assert len(prepared) == 1  # no process is started for nothing

    assert run(tiny, output, "--attacks", "fgsm[objective=own],noise,fgsm[objective=shift]") == 0
    assert prepared[1:] == [(1, False)]
    second = records(output)
    assert {name: second[name] for name in first} == first
    assert len(second) > len(first)
    assert not [name for name in second.keys() - first.keys() if name.startswith("models")]


def test_values_do_not_depend_on_workers_or_on_what_else_ran(tiny, tmp_path):
    assert run(tiny, tmp_path / "one") == 0
    arguments = ["--defenses", "random_transforms,vanilla", "--workers", "2"]
    assert run(tiny, tmp_path / "two", *arguments) == 0
    alone = values(tmp_path / "one")
    beside = values(tmp_path / "two")
    assert {row for row in alone if row[3] == "vanilla"} <= set(beside)
    assert run(tiny, tmp_path / "three", "--defenses", "random_transforms") == 0
    assert {row for row in values(tmp_path / "three") if row[3] == "random_transforms"} <= set(beside)


def still_running(session: int) -> bool:
    """Whether a process of the session is left; always False where there is no /proc."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, of_session = path.read_text().rpartition(")")[2].split()[:4]
        except OSError:  # it has just ended
            continue
        if of_session == str(session) and state != "Z":
            return True
    return False


def kill_when_there_is(pattern: str, output: Path, *arguments: str) -> None:
    """Starts a run, and kills it with all its workers as soon as its store has such a file."""
    process = subprocess.Popen(
        [
            sys.executable,
            str(ROOT / "run_benchmark.py"),
            "--output",
            str(output),
            "--workers",
            "1",
            *arguments,
        ],
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 120
    while not any((output / "store").glob(pattern)) and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()  # the run alone: its workers must notice
    process.wait()
    deadline = time.monotonic() + 30
    while still_running(process.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not still_running(process.pid)


def larger(tiny: Path, **changes: object) -> None:
    """Gives a configuration a data set that takes long enough to be killed in."""
    changes["datasets"] = ["digits"]
    tiny.write_text(yaml.safe_dump({**yaml.safe_load(tiny.read_text()), **changes}))


def test_a_killed_run_resumes_where_it_stopped(tiny, tmp_path):
    larger(tiny)
    output = tmp_path / "out"
    kill_when_there_is("cells/*.json", output, "--config", str(tiny), "--defenses", "vanilla,mixup")
    kept = {name: changed for name, changed in records(output).items() if ".writing-" not in name}
    assert kept
    assert run(tiny, output, "--defenses", "vanilla,mixup") == 0
    after = records(output)
    assert {name: after[name] for name in kept} == kept and len(after) > len(kept)
    assert run(tiny, tmp_path / "whole", "--defenses", "vanilla,mixup") == 0
    assert values(output) == values(tmp_path / "whole")


def test_a_killed_training_resumes_where_it_stopped(tiny, tmp_path):
    larger(tiny, save_every=0, training={"epochs": 30, "batch_size": 64})
    kill_when_there_is("unfinished/*.safetensors", tmp_path / "out", "--config", str(tiny))
    assert not list((tmp_path / "out" / "store" / "models").glob("*.json"))
    for name in ("out", "whole"):
        assert run(tiny, tmp_path / name) == 0
    assert values(tmp_path / "out") == values(tmp_path / "whole")
    resumed, whole = (
        next(record for record in found if record["key"]["defense"] == "vanilla")
        for found in (
            [json.loads(path.read_text()) for path in (tmp_path / name / "store" / "models").glob("*.json")]
            for name in ("out", "whole")
        )
    )
    assert whole["resumed"] == 0 < resumed["resumed"] < 30
    assert resumed["curve"] == whole["curve"]
    assert not list((tmp_path / "out" / "store" / "unfinished").iterdir())


FAULTY = '''
import multiprocessing
import os
import signal

from defenses import DEFENSES, Defense
from defenses.vanilla import Vanilla


@DEFENSES.register("not_a_number")
class NotANumber(Vanilla):
    """Its loss is not a number."""

    def loss(self, model, batch, attack):
        return super().loss(model, batch, attack) * float("nan")


@DEFENSES.register("raises")
class Raises(Vanilla):
    """Its loss has a bug."""

    def loss(self, model, batch, attack):
        raise KeyError("a bug of the author's")


@DEFENSES.register("exits")
class Exits(Vanilla):
    """It ends the process that it is in, or means to."""

    def loss(self, model, batch, attack):
        raise SystemExit(0)


@DEFENSES.register("dies")
class Dies(Vanilla):
    """Its worker is killed, as by a machine that is out of memory."""

    epochs: int = 1

    def loss(self, model, batch, attack):
        if multiprocessing.parent_process() is not None and len(batch.labels) > 32:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().loss(model, batch, attack)
'''


def test_a_cell_that_fails_is_a_record_and_stops_nothing_else(tiny, tmp_path, capsys):
    plugin = tmp_path / "faulty_plugin.py"
    plugin.write_text(FAULTY)
    output = tmp_path / "out"
    names = "not_a_number,raises,exits,dies,vanilla"
    assert run(tiny, output, "--plugin", str(plugin), "--defenses", names) == 1
    with (output / "cells.csv").open() as file:
        rows = list(csv.DictReader(file))
    reasons = {row["defense"]: row["reason"] for row in rows if row["status"] == "failed"}
    assert set(reasons) == {"not_a_number", "raises", "exits", "dies"}
    assert "epoch 1" in reasons["not_a_number"]
    assert "a bug of the author's" in reasons["raises"]
    assert "store/logs/" in reasons["raises"]
    assert "SystemExit" in reasons["exits"]
    assert "worker died" in reasons["dies"]
    assert all(row["status"] == "done" for row in rows if row["defense"] == "vanilla")
    with (output / "leaderboard.csv").open() as file:
        board = {row["defense"]: row for row in csv.DictReader(file)}
    assert board["vanilla"]["failed_cells"] == "0"
    assert int(board["raises"]["failed_cells"]) > 0
    assert "Traceback" not in capsys.readouterr().err
    whole = records(output)
    assert run(tiny, output, "--plugin", str(plugin), "--defenses", names) == 1  # nothing is tried again
    assert records(output) == whole
    assert run(tiny, output, "--plugin", str(plugin), "--defenses", names, "--retry-failed") == 1
    again = {name for name, changed in records(output).items() if changed != whole[name]}
    assert len([name for name in again if name.startswith("models")]) == len(reasons)


def test_a_damaged_checkpoint_is_trained_again(tiny, tmp_path):
    output = tmp_path / "out"
    assert run(tiny, output, "--scenarios", "clustering") == 0
    whole = records(output)
    for path in (output / "store" / "models").glob("*.safetensors"):
        path.write_bytes(path.read_bytes()[:100])
    assert run(tiny, output, "--scenarios", "clustering") == 0  # nothing needs the weights
    assert {name: records(output)[name] for name in whole if name.endswith("json")} == {
        name: changed for name, changed in whole.items() if name.endswith("json")
    }
    assert run(tiny, output, "--scenarios", "retrieval-query") == 0
    assert run(tiny, tmp_path / "other", "--scenarios", "retrieval-query") == 0
    assert values(output) == values(tmp_path / "other")


def test_what_is_damaged_is_made_again(tiny, tmp_path):
    output = tmp_path / "out"
    assert run(tiny, output) == 0
    whole = values(output)
    store = output / "store"
    next(iter(sorted((store / "arrays").iterdir()))).write_bytes(b"nonsense")
    next(iter(sorted((store / "cells").iterdir(), reverse=True))).write_text("{")
    assert run(tiny, output) == 0
    assert values(output) == whole


def test_a_pairing_that_makes_no_sense_is_skipped_and_said(tiny, tmp_path):
    output = tmp_path / "out"
    assert run(tiny, output, "--defenses", "trades", "--losses", "multi_similarity") == 0
    skipped = [row for row in values(output) if "skipped" in row]
    assert skipped
    assert "needs a loss with proxies" in " ".join(skipped[0])
    assert "needs a loss with proxies" in (output / "leaderboard.md").read_text()


def test_the_manifest_tells_what_was_asked_for(tiny, tmp_path):
    assert run(tiny, tmp_path / "out") == 0
    manifest = json.loads((tmp_path / "out" / "store" / "run.json").read_text())
    assert manifest["suite"] == "fgsm[objective=own],noise"
    assert manifest["config"]["training"]["epochs"] == 1


def test_what_does_not_run_writes_nothing(tiny, tmp_path, capsys):
    output = tmp_path / "out"
    for does in (lambda: run(tiny, output, "--dry-run"), lambda: main(["--list", "--output", str(output)])):
        assert does() == 0
        assert not output.exists()
        assert "vanilla" in capsys.readouterr().out


def test_another_run_with_other_cells_in_the_folder_is_told_and_the_board_is_of_this_one(
    tiny, tmp_path, monkeypatch, capsys
):
    compute = runner._compute

    def disturbed(grid, todo, context, *rest):
        compute(grid, todo, context, *rest)
        mine = context.store.manifest()
        context.store.save_manifest(mine.model_copy(update={"cells": mine.cells[:1]}))

    assert run(tiny, tmp_path / "alone") == 0
    assert "Another run" not in capsys.readouterr().err
    monkeypatch.setattr(runner, "_compute", disturbed)
    assert run(tiny, tmp_path / "out") == 0
    said = f"Another run with other cells has used {tmp_path / 'out'} meanwhile. The board written now is of"
    assert capsys.readouterr().err.count(said) == 1
    assert values(tmp_path / "out") == values(tmp_path / "alone")


def test_a_board_of_other_cells_that_is_replaced_is_told(tiny, tmp_path, capsys):
    assert run(tiny, tmp_path / "out") == 0
    assert "The board in" not in capsys.readouterr().err
    store = Store(tmp_path / "out")
    whole = len(store.manifest().cells)
    # As other code leaves it, under which the same cells have other ids.
    renamed = [cell.model_copy(update={"id": f"{cell.id}0"}) for cell in store.manifest().cells]
    store.save_manifest(store.manifest().model_copy(update={"cells": renamed}))
    assert run(tiny, tmp_path / "out") == 0
    assert "The board in" not in capsys.readouterr().err
    assert run(tiny, tmp_path / "out", "--seeds", "0", "--attacks", "fgsm") == 0
    said = capsys.readouterr().err
    assert (
        f"The board in {tmp_path / 'out'} is of another command: " in said and f"of its {whole} cells" in said
    )
