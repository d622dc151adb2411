"""Runs that are killed at random moments, over files that are damaged: nothing is lost, doubled or different.

`python -m tests.runner.chaos --kills 200` does the same for longer, and says what it did.
"""

import csv
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from benchmark.core.source import ROOT
from benchmark.records import Store
from benchmark.records.reading import write_record

from .chaos import Chaos
from .damage import KINDS, damage, files
from .kills import Process, send

pytestmark = pytest.mark.first

KILLS = 8
"""`python -m tests.runner.chaos --kills 200` makes more."""


@pytest.mark.slow
def test_runs_that_are_killed_and_damaged_give_what_an_undisturbed_run_gives(tmp_path):
    seed = int(os.environ.get("CHAOS_SEED", "15"))
    chaos = Chaos(tmp_path, seed)
    tally = chaos.run(KILLS)
    said = tally.text()
    assert not tally.problems, f"CHAOS_SEED={seed}: {said}"
    assert sum(tally.kills.values()) >= KILLS, said
    assert tally.two_at_once and tally.damages and tally.removed and tally.set_aside, said
    assert tally.cells >= 50, said
    change_a_value(chaos.output)
    chaos.compare()
    assert any("!=" in problem for problem in tally.problems)


def change_a_value(output):
    """Writes a sound record with another value."""
    store = Store(output)
    record = next(one for path in files(store.root) if (one := store.cell(path.stem)) and one.metrics)
    metrics = {name: 0.5 * value + 0.1 for name, value in record.metrics.items()}
    write_record(store.root / "cells" / f"{record.id}.json", record.model_copy(update={"metrics": metrics}))


@pytest.mark.parametrize("kind", [*dict.fromkeys(KINDS)])
def test_each_kind_of_damage_changes_what_is_there(tmp_path, kind):
    for number in range(3):
        path = tmp_path / "cells" / f"{number}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"content of {number}")
    before = {path.name: path.is_file() and path.read_bytes() for path in path.parent.iterdir()}
    for seed in range(5):  # a swap may draw the same file twice
        kind(random.Random(seed), path)
        after = {path.name: path.is_file() and path.read_bytes() for path in path.parent.iterdir()}
        if after != before:
            return
    raise AssertionError(kind.__name__)


def test_no_damage_without_files(tmp_path):
    assert damage(random.Random(0), tmp_path) == ""
    assert files(tmp_path) == []


SMOKE = {
    "preset": "smoke",
    "defenses": ["vanilla", "pgd_at"],
    "device": "cpu",
    "workers": 2,
    "save_every": 0,
    "checks": False,
}
"""The preset that tries everything, with two of its defenses, whose trainings are saved after each epoch."""

WITHOUT_FIGURES = """
from attacks import SUITES, Suite
from benchmark.report.figures import FigurePicture

FigurePicture.draw = lambda picture, source: ""

@SUITES.register("nothing_new")
class NothingNew(Suite):
    \"\"\"A plugin registers something.\"\"\"
    attacks = ("noise",)
"""


class Smoke:
    """A run of the command line in a session of its own."""

    def __init__(self, folder: Path, name: str) -> None:
        self.output = folder / name
        config, plugin = folder / "smoke.yaml", folder / "without_figures.py"
        plugin.write_text(WITHOUT_FIGURES)
        config.write_text(yaml.safe_dump({**SMOKE, "plugin": [str(plugin)]}))
        self.process = subprocess.Popen(
            [sys.executable, "run_benchmark.py", "--config", str(config), "--output", str(self.output)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def wait_for(self, condition: Callable[["Smoke"], bool]) -> None:
        deadline = time.monotonic() + 240
        while not condition(self):
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def end(self) -> tuple[int, str]:
        _, said = self.process.communicate(timeout=240)
        deadline = time.monotonic() + 30
        while (left := [one for one in Process.every() if one.session == self.process.pid]) and (
            time.monotonic() < deadline
        ):
            time.sleep(0.05)
        assert not left
        assert "Traceback" not in said
        return self.process.returncode, said

    def leased(self) -> set[str]:
        """Ids of the jobs that this run works on; another that was killed may have left leases."""
        paths = (self.output / "store" / "leases").glob("*.json")
        return {path.name.split(".")[0] for path in paths if f'"pid":{self.process.pid},' in text_of(path)}

    def states(self) -> list[Path]:
        return list((self.output / "store" / "unfinished").glob("*.safetensors"))


def text_of(path: Path) -> str:
    try:
        return path.read_text()
    except FileNotFoundError:  # it has just been given back
        return ""


def in_a_training(run: Smoke) -> bool:
    return bool(run.states())


def in_an_attack(run: Smoke) -> bool:
    """An attack is leased, and no training: each lease of a training is named by its model."""
    manifest = json.loads(text_of(run.output / "store" / "run.json") or '{"models": []}')
    return bool(run.leased() - {model["id"] for model in manifest["models"]}) and not run.states()


@pytest.mark.slow
def test_real_runs_that_are_killed_in_trainings_and_attacks_give_the_same(tmp_path):
    """A run is killed in the middle of a training, one is stopped in an attack, and one is killed in it."""
    whole = Smoke(tmp_path, "whole")  # beside the others, on which its values do not depend
    run = Smoke(tmp_path, "out")
    run.wait_for(in_a_training)
    time.sleep(random.uniform(0.0, 0.5))
    send([run.process.pid], signal.SIGKILL)
    assert run.end()[0] == -signal.SIGKILL
    assert run.states()

    run = Smoke(tmp_path, "out")
    run.wait_for(in_an_attack)
    time.sleep(random.uniform(0.0, 0.3))
    assert send([run.process.pid], signal.SIGTERM)
    status, said = run.end()
    assert status == 143, said
    assert "The board so far" in said

    run = Smoke(tmp_path, "out")
    run.wait_for(in_an_attack)
    time.sleep(random.uniform(0.0, 0.3))
    send([run.process.pid], signal.SIGKILL)
    assert run.end()[0] == -signal.SIGKILL

    run = Smoke(tmp_path, "out")
    assert run.end()[0] == 0
    assert whole.end()[0] == 0
    assert values(run.output) == values(whole.output)
    resumed = [
        json.loads(path.read_text())["resumed"] for path in (run.output / "store/models").glob("*.json")
    ]
    assert any(resumed)


def values(output: Path) -> list[list[str]]:
    with (output / "cells.csv").open() as file:
        rows = list(csv.reader(file))
    left_out = [rows[0].index(name) for name in ("seconds", "commit")]
    return [[value for index, value in enumerate(row) if index not in left_out] for row in rows]
