"""Whole runs over damaged folders: damage is said, set aside and made again, with the same values."""

import csv
import json
import re
import shutil

import pytest
import yaml
from safetensors.numpy import load_file, save_file

from benchmark.cli import main
from benchmark.core.errors import StorageFullError
from benchmark.core.files import write_atomically
from benchmark.core.sealed import write_tensors
from benchmark.evaluation import SCENARIOS
from benchmark.records import reading
from benchmark.runner.executors import LocalExecutor
from benchmark.runner.serial import run_serially

from ..conftest import TINY

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("without_figures")]  # whole runs


def run(tiny, output, *more):
    return main(["--config", str(tiny), "--output", str(output), "--workers", "1", "--no-progress", *more])


def values(output):
    with (output / "cells.csv").open() as file:
        rows = list(csv.reader(file))
    left_out = [rows[0].index(name) for name in ("seconds", "commit")]
    return [[value for i, value in enumerate(row) if i not in left_out] for row in rows]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A sound run of two models, its configuration and the values of its cells."""
    folder = tmp_path_factory.mktemp("whole")
    tiny = folder / "tiny.yaml"
    tiny.write_text(yaml.safe_dump({**TINY, "seeds": [0, 1], "attacks": ["fgsm[objective=own]"]}))
    assert run(tiny, folder / "out") == 0
    return tiny, folder / "out", values(folder / "out")


@pytest.fixture
def damaged(whole, tmp_path):
    """A copy of the sound run's folder."""
    tiny, output, sound = whole
    return tiny, shutil.copytree(output, tmp_path / "out"), sound


def first(output, folder, ending):
    return min((output / "store" / folder).glob(f"*.{ending}"))


def last_arrays(output):
    """The path of arrays of another cell than the first."""
    return max((output / "store" / "arrays").iterdir())


def retrieval(output):
    """The path of the arrays of an attacked cell of the scenario that the per-query outcomes are of."""
    for path in sorted((output / "store" / "cells").glob("*.json"), reverse=True):
        if json.loads(path.read_text())["key"]["scenario"] == "retrieval-query":
            return output / "store" / "arrays" / f"{path.stem}.safetensors"
    raise AssertionError


def flip(path, offset, mask):
    data = bytearray(path.read_bytes())
    data[offset] ^= mask
    path.write_bytes(data)


def exponents(output):
    path = first(output, "models", "safetensors")
    flip(path, path.stat().st_size - 1, 0x38)
    return [path], True


def another_models(output):
    one, other = sorted((output / "store" / "models").glob("*.safetensors"))
    shutil.copy(other, one)
    return [one], True


def renamed_keys(output):
    path = first(output, "models", "safetensors")
    save_file({f"{name}x": value for name, value in load_file(path).items()}, path)
    return [path], True


def digit(output):
    path = first(output, "cells", "json")
    text = path.read_text()
    found = re.search(r'"nmi":0\.(\d)|"r1":0\.(\d)', text)
    place = found.end() - 1
    path.write_text(f"{text[:place]}{(int(text[place]) + 1) % 10}{text[place + 1 :]}")
    return [path], False


def another_cells(output):
    one, other, *_ = sorted((output / "store" / "cells").glob("*.json"))
    shutil.copy(other, one)
    return [one], False


def without_success(output):
    path = retrieval(output)
    save_file({"queries": load_file(path)["queries"]}, path)
    return [path], False


def folders(output):
    paths = [first(output, "cells", "json"), first(output, "models", "json"), last_arrays(output)]
    for path in paths:
        path.unlink()
        path.mkdir()
    return paths, False


def empty(output):
    paths = [first(output, "cells", "json"), last_arrays(output)]
    for path in paths:
        path.write_bytes(b"")
    return paths, False


@pytest.mark.parametrize(
    "damage",
    [exponents, another_models, renamed_keys, digit, another_cells, without_success, folders, empty],
)
def test_what_is_damaged_is_set_aside_and_made_again(damaged, capfd, damage):
    tiny, output, sound = damaged
    paths, of_models = damage(output)
    if of_models:  # which are read only where an attack needs them
        for path in (output / "store" / "cells").iterdir():
            path.unlink()
    capfd.readouterr()
    assert run(tiny, output) == 0
    said = capfd.readouterr().err
    for path in paths:
        assert path.is_file() and path.with_name(f"{path.name}.damaged").exists()
        assert (
            len(re.findall(rf"warning: {path} is damaged \(.*\): renamed to .*, and made again\.", said)) == 1
        )
    assert "Traceback" not in said and values(output) == sound
    before = {path: path.stat().st_mtime_ns for path in (output / "store" / "cells").iterdir()}
    assert run(tiny, output) == 0
    assert {path: path.stat().st_mtime_ns for path in (output / "store" / "cells").iterdir()} == before


def test_a_checkpoint_that_does_not_fit_is_trained_again_by_the_next_run(damaged):
    """It carries the right checksum, so it is found only when it is loaded."""
    tiny, output, sound = damaged
    path = first(output, "models", "safetensors")
    renamed = {f"{name}x": value for name, value in load_file(path).items()}
    write_tensors(path, lambda to, metadata: save_file(renamed, to, metadata))
    for cell in (output / "store" / "cells").iterdir():
        cell.unlink()
    assert run(tiny, output) == 1
    assert path.with_name(f"{path.name}.damaged").exists() and not path.exists()
    assert "does not fit the model that" in (output / "cells.csv").read_text()
    assert run(tiny, output) == 0
    assert values(output) == sound


def test_a_report_says_what_is_damaged_and_renames_nothing(damaged, capfd):
    _, output, _ = damaged
    digit(output)
    without_success(output)
    before = sorted(path.name for path in (output / "store").rglob("*"))
    main(["--report-only", "--output", str(output)])
    assert sorted(path.name for path in (output / "store").rglob("*")) == before
    table = (output / "cells.csv").read_text()
    assert "its record on disk is damaged: its checksum is not that of its content" in table
    assert "its arrays on disk are damaged: it has no checksum" in table
    assert "Traceback" not in capfd.readouterr().err


def test_a_folder_of_an_earlier_version_is_reported_as_it_is(damaged):
    """Its records carry no checksum, and their protocol says that they need not."""
    _, output, sound = damaged
    for path in (output / "store").rglob("*.json"):
        content = json.loads(path.read_text())
        for name in ("schema", "stored_as", "checksum", "arrays"):
            content.pop(name, None)
        if "provenance" in content:
            content["provenance"]["protocol"] = "3"
        path.write_text(json.dumps(content))
    for path in (output / "store").rglob("*.safetensors"):
        save_file(load_file(path), path)
    assert main(["--report-only", "--output", str(output)]) == 0
    protocol = sound[0].index("protocol") if "protocol" in sound[0] else None
    assert [[*row[:protocol], *row[protocol + 1 :]] for row in values(output)] == [
        [*row[:protocol], *row[protocol + 1 :]] for row in sound
    ]


@pytest.mark.parametrize("content", ["", "{", '{"models": [], "cells": []}'])
def test_a_damaged_manifest_is_one_line_and_written_again(damaged, capfd, content):
    tiny, output, sound = damaged
    (output / "store" / "run.json").write_text(content)
    capfd.readouterr()
    assert main(["--report-only", "--output", str(output)]) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("error: The grid of the run, ") and "Give its command again" in line
    assert run(tiny, output) == 0
    assert values(output) == sound


def test_a_full_disk_stops_the_run_with_one_line_and_a_rerun_resumes(whole, tmp_path, monkeypatch, capfd):
    tiny, _, sound = whole
    output = tmp_path / "out"
    written = []

    def full(path, write):
        if path.parent.name == "cells" and len(written) == 2:
            raise StorageFullError(f"{path} cannot be written: the disk is full.")
        written.append(path) if path.parent.name == "cells" else None
        write_atomically(path, write)

    monkeypatch.setattr(reading, "write_atomically", full)
    monkeypatch.setattr(LocalExecutor, "run_jobs", lambda self, *given: run_serially(*given))
    assert run(tiny, output) == 1
    (line,) = [line for line in capfd.readouterr().err.splitlines() if line.startswith("error")]
    assert re.search(r"cells/\w+\.json cannot be written: the disk is full", line)
    kept = {path: path.stat().st_mtime_ns for path in written}
    monkeypatch.undo()
    assert run(tiny, output) == 0
    assert values(output) == sound
    assert {path: path.stat().st_mtime_ns for path in written} == kept


def test_a_metric_outside_its_range_is_a_failed_cell(whole, tmp_path, monkeypatch):
    tiny, _, _ = whole
    kind = type(SCENARIOS.build("clustering"))
    score = kind.score

    def wrong(self, embeddings):
        found = score(self, embeddings)
        found.metrics["nmi"] = 1.5 if embeddings.attack is None else float("nan")
        return found

    monkeypatch.setattr(kind, "score", wrong)
    monkeypatch.setattr(LocalExecutor, "run_jobs", lambda self, *given: run_serially(*given))
    assert run(tiny, tmp_path / "out") == 1
    table = (tmp_path / "out" / "cells.csv").read_text()
    assert "the metric nmi is 1.5, outside its range [0, 1]" in table
    assert "the metric nmi is nan, not a finite number" in table
