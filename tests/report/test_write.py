import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from benchmark.core.errors import UsageError
from benchmark.report import read_tables, verdicts, write_report
from benchmark.report.verdict import verdict_lines

from .fake_run import NEIGHBOUR, FakeRun
from .own_models import models_alone

NAME = "glyphs_smallconv_proxy_anchor_linf_0.1"
ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_the_files_returned_are_those_written(full_report):
    output, paths = full_report
    made = {path for path in output.rglob("*") if path.is_file() and "store" not in path.parts}
    assert set(paths) == made
    names = {path.name for path in paths}
    assert {"leaderboard.csv", "cells.csv", "leaderboard.md", "leaderboard.html"} <= names
    assert {f"clean_vs_worst_{NAME}.png", f"heatmap_{NAME}.png", f"eps_{NAME}.png"} <= names
    for defense in ("vanilla", "pgd_at", "eat-members-3", "pixels"):
        assert f"tsne_{NAME}_{defense}.png" in names
    assert f"tsne_{NAME}_trades.png" not in names


def test_a_folder_without_a_run_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match="Run the benchmark there first"):
        write_report(tmp_path)


def test_before_any_cell_is_run_there_is_a_page(tmp_path):
    fake = FakeRun(weakness={"pgd_at": 0.3, "pixels": 0.5}, seeds=(0,), validated=False)
    fake.missing = {(defense, attack) for defense in fake.weakness for attack in (*fake.attacks, "none")}
    fake.write(tmp_path)
    names = {path.name for path in write_report(tmp_path)}
    assert names == {"leaderboard.csv", "cells.csv", "leaderboard.md", "leaderboard.html"}
    page = (tmp_path / "leaderboard.md").read_text(encoding="utf-8")
    assert "not run yet" in page and "## Training" not in page
    assert pd.read_csv(tmp_path / "leaderboard.csv")["rank"].isna().all()


@pytest.mark.parametrize("there", ["a file", "folders of the figures' names"])
def test_figures_that_cannot_be_written_cost_no_table(tmp_path, there):
    FakeRun(weakness={"pgd_at": 0.3}, references=(), seeds=(0,), curve={}, curve_eps=()).write(tmp_path)
    figures = tmp_path / "figures"
    if there == "a file":
        figures.write_text("in the way")
    else:
        (figures / f"clean_vs_worst_{NAME}.png" / "more").mkdir(parents=True)
    said = []
    write_report(tmp_path, said.append)
    assert said and all(
        re.fullmatch(r"The figure \S+ could not be drawn: \w+: [\w ]+", line) for line in said
    )
    for name in ("leaderboard.md", "leaderboard.html"):
        page = (tmp_path / name).read_text(encoding="utf-8")
        assert "pgd_at" in page and str(tmp_path) not in page
        assert f"(figures/clean_vs_worst_{NAME}.png)" not in page


@pytest.mark.slow
def test_the_report_imports_only_records_and_the_core(tmp_path):
    FakeRun(weakness={"pgd_at": 0.3}, references=(), seeds=(0,), attacks={NEIGHBOUR: 1.0}).write(tmp_path)
    code = (
        "import sys, pathlib, benchmark.report;"
        "assert 'torch' not in sys.modules;"
        f"benchmark.report.write_report(pathlib.Path({str(tmp_path)!r}));"
        "print(*{'.'.join(name.split('.')[:2]) for name in sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    loaded = set(done.stdout.split())
    assert not loaded & {"torch", "attacks", "defenses"}
    packages = {name for name in loaded if name.startswith("benchmark.")}
    assert packages == {"benchmark.core", "benchmark.records", "benchmark.report"}


def test_verdicts_are_read_again_without_a_report(tmp_path):
    models_alone().write(tmp_path / "own")
    lines = verdicts(tmp_path / "own")
    run, tables = read_tables(tmp_path / "own")
    assert len(lines) == 8 and set(lines) == set(verdict_lines(run, tables))
    assert [path.name for path in (tmp_path / "own").iterdir()] == ["store"]
    FakeRun(seeds=(0,)).write(tmp_path / "none")
    assert verdicts(tmp_path / "none") == []
    with pytest.raises(UsageError, match="Run the benchmark there first"):
        verdicts(tmp_path / "empty")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["report_of_own_models", "report_of_models_and_defenses"])
def test_no_output_names_a_folder_of_the_machine(name, request):
    output, paths = request.getfixturevalue(name)
    assert set(paths) == {p for p in output.rglob("*") if p.is_file() and "store" not in p.parts}
    for path in paths:
        assert "home" not in str(path.relative_to(output)) and "my-models" not in path.name
        content = path.read_bytes()
        for part in (b"/home", b"my models", b"some where"):
            assert part not in content, path.name
