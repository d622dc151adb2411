import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from benchmark.core.errors import UsageError
from benchmark.report import write_report

from .fake_run import NEIGHBOUR, FakeRun

NAME = "glyphs_smallconv_proxy_anchor_linf_0.1"
ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_the_files_returned_are_those_written(full_report):
    output, paths = full_report
    made = {path for path in output.rglob("*") if path.is_file() and "store" not in path.parts}
    assert set(paths) == made
    names = {path.name for path in paths}
    assert {"leaderboard.csv", "cells.csv", "leaderboard.md"} <= names
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
    assert names == {"leaderboard.csv", "cells.csv", "leaderboard.md"}
    page = (tmp_path / "leaderboard.md").read_text(encoding="utf-8")
    assert "not run yet" in page and "## Training" not in page
    assert pd.read_csv(tmp_path / "leaderboard.csv")["rank"].isna().all()


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
