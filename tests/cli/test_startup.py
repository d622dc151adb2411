"""Which libraries a command imports: those that it does not need would double the time of a short one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ..report.fake_run import FakeRun

ROOT = Path(__file__).resolve().parents[2]
COMPUTING = ("torchvision", "timm", "pytorchcv", "faiss", "sklearn", "optuna", "onnxruntime")
DRAWING = ("matplotlib.figure", "matplotlib.pyplot", "openTSNE")
TABLES = ("pandas", "jinja2")
LOSSES = ("pytorch_metric_learning", "scipy")
COMPILER = ("torch._dynamo", "torch._inductor", "triton")
CODE = """
import sys
from benchmark.cli import main
if "--dry-run" in sys.argv:
    from benchmark.core import child_process
    child_process._can_fork = lambda: False  # so that what children import is seen
try:
    status = main(sys.argv[1:])
except SystemExit as end:
    status = end.code
sys.stderr.write(" ".join(["MODULES", *sys.modules]))
sys.exit(status)
"""


def imported(tmp_path, *arguments):
    """Runs a command in a new process; returns the names of the modules that it imported."""
    environment = {**os.environ, "DML_BENCHMARK_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", CODE, *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[:2000]
    return set(done.stderr.rpartition("MODULES")[2].split())


def test_help_imports_no_library(tmp_path):
    found = imported(tmp_path, "--help")
    libraries = {"torch", "numpy", "pydantic", "yaml", "rich", "matplotlib"}
    assert found & {*libraries, *COMPUTING, *DRAWING, *TABLES, *LOSSES} == set()


@pytest.mark.slow
def test_a_list_imports_nothing_that_computes_or_draws(tmp_path):
    found = imported(tmp_path, "--list")
    assert "torch" in found
    assert found & {"matplotlib", *COMPUTING, *DRAWING, *TABLES, *LOSSES, *COMPILER} == set()


@pytest.mark.slow
def test_a_dry_run_imports_the_losses_that_it_measures_and_nothing_more(tmp_path):
    asked = ["--preset", "smoke", "--dry-run", "--output", str(tmp_path / "out")]
    found = imported(tmp_path, *asked)
    assert "torch" in found
    assert found & {*COMPUTING, *DRAWING, *TABLES, *LOSSES, *COMPILER} == set()
    found = imported(tmp_path, *asked, "--losses", "contrastive", "--defenses", "vanilla")
    assert "pytorch_metric_learning" in found


@pytest.mark.slow
def test_a_report_imports_what_draws_only_when_it_draws(tmp_path):
    FakeRun(seeds=(0,)).write(tmp_path)
    first = imported(tmp_path, "--report-only", "--output", str(tmp_path))
    assert {"pandas", "matplotlib.figure", "openTSNE"} <= first
    unneeded = {"torch", "torchvision", "timm", "faiss", "optuna", "pytorch_metric_learning"}
    assert first & unneeded == set()
    second = imported(tmp_path, "--report-only", "--output", str(tmp_path))
    assert second & {*unneeded, "sklearn", "matplotlib", *DRAWING} == set()
