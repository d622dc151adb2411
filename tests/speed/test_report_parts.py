"""The parts of a report: one that fails or takes too long costs itself only, and what is done is kept."""

import importlib
import json
import sys
import time
from pathlib import Path

import pytest

from . import device_cells as cells
from . import report_parts as parts

HERE = Path(__file__).parent


def part(name, code, limit=20.0):
    return parts.Part(name, [sys.executable, "-c", code], limit)


GOOD = part("good", 'print(\'words\'); print(\'{"rows": [{"a": 1, "b": "x|y"}], "rate": 2}\')')
BAD = part("bad", "print('text'); raise SystemExit('it | broke')")


@pytest.fixture
def report(monkeypatch):
    """The driver, which imports the scripts beside it as a program does."""
    monkeypatch.syspath_prepend(str(HERE))
    return importlib.import_module("gpu_report")


def test_a_part_that_is_done_is_written_and_not_run_again(tmp_path):
    found = parts.run_part(GOOD, tmp_path)
    assert found["status"] == "done"
    assert found["result"]["rate"] == 2
    assert (tmp_path / "good.txt").read_text().startswith("words\n")
    assert parts.run_part(part("good", "raise SystemExit(1)"), tmp_path) == found


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("raise SystemExit('it broke')", "exit status 1: it broke"),
        ("raise SystemExit(3)", "exit status 3: no output"),
        ("print('no JSON')", "its last line is no JSON"),
        ("", "its last line is no JSON"),
    ],
)
def test_a_part_that_fails_says_why_and_is_run_again(tmp_path, code, reason):
    found = parts.run_part(part("one", code), tmp_path)
    assert (found["status"], found["reason"]) == ("failed", reason)
    assert parts.run_part(part("one", "print(1)"), tmp_path)["status"] == "done"


def test_a_part_that_takes_too_long_is_ended_with_its_own_processes(tmp_path):
    code = (
        "import subprocess, sys; print('begun', flush=True);"
        "subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)'])"
    )
    started = time.monotonic()
    found = parts.run_part(part("slow", code, limit=1.0), tmp_path)
    assert (found["status"], found["reason"]) == ("timed out", "more than 1 s")
    assert (tmp_path / "slow.txt").read_text() == "begun\n"
    assert time.monotonic() - started < 30


def test_a_result_that_was_written_by_half_is_made_again(tmp_path):
    (tmp_path / "good.json").write_text('{"status": "do')
    assert parts.run_part(GOOD, tmp_path)["status"] == "done"


def test_the_output_of_a_part_is_cut(tmp_path):
    parts.run_part(part("long", "print('x' * 900_000)"), tmp_path)
    assert (tmp_path / "long.txt").stat().st_size == parts.MOST_TEXT


def test_the_driver_runs_all_parts_and_resumes(report, tmp_path):
    assert report.run_parts([BAD, GOOD], tmp_path, "Speed on a card") == 1
    summary = (tmp_path / "summary.md").read_text()
    assert "# Speed on a card" in summary
    assert "| bad | failed: exit status 1: it \\| broke |" in summary
    assert "| good | done |" in summary
    assert "| 1 | x\\|y |" in summary
    assert "- rate: 2" in summary
    assert report.run_parts([part("bad", "print(1)"), part("good", "1/0")], tmp_path, "Speed on a card") == 0
    with pytest.raises(SystemExit, match="holds another report"):
        report.run_parts([GOOD], tmp_path, "Speed on another card")


def test_the_driver_refuses_unknown_parts_and_a_missing_gpu(report, monkeypatch, capsys, tmp_path):
    assert report.main(["--device", "cpu", "--parts", "none", "--output", str(tmp_path)]) == 2
    assert "--parts: unknown none. Valid: attacks, profile" in capsys.readouterr().err
    monkeypatch.setattr(report.torch.cuda, "is_available", lambda: False)
    assert report.main(["--output", str(tmp_path)]) == 2
    assert "torch finds no GPU here" in capsys.readouterr().err


def test_all_parts_together_take_six_minutes_at_most(report, tmp_path):
    found = report.list_parts("cuda", tmp_path / "report")
    assert sum(one.limit for one in found) <= 360


def test_cells_are_compared_by_their_names(tmp_path):
    head = ",".join([*cells.KEYS, "metric", "value"])
    for name, values in (("left", ("0.5", "0.25")), ("right", ("0.75", ""))):
        rows = [",".join([*("x" for _ in cells.KEYS[1:]), str(n), "ami", v]) for n, v in enumerate(values)]
        (tmp_path / name).write_text("\n".join([head, *rows]) + "\n")
    left, right = (cells.read_values(tmp_path / name) for name in ("left", "right"))
    (row,) = cells.compare(left, right)
    assert (row["metric"], row["cells"], row["unmatched"]) == ("ami", 1, 1)
    assert (row["mean"], row["largest"]) == (0.25, 0.25)
    assert json.dumps(row)
