"""The wheel, installed in an environment of its own outside the checkout."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TOPS = ("attacks", "benchmark", "defenses")

# Not imported: setuptools replaces the interpreter's distutils.
MISSING = [tool for tool in ("pip", "setuptools") if find_spec(tool) is None]
pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(MISSING), reason=f"needs {' and '.join(MISSING)}")]


def call(*command, cwd, **env):
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**{key: value for key, value in os.environ.items() if key != "PYTHONPATH"}, **env},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The folder of an environment with the wheel; all else comes from this process's own."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for top in TOPS:
        shutil.copytree(ROOT / top, source / top, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE", "run_benchmark.py"):
        shutil.copy(ROOT / name, source / name)
    options = ["--no-deps", "--no-index", "--disable-pip-version-check"]
    pip = [sys.executable, "-m", "pip"]
    call(*pip, "wheel", *options, "--no-build-isolation", "-w", folder, source, cwd=folder)
    shutil.rmtree(source)
    venv.create(folder / "env", symlinks=True)
    python = folder / "env" / "bin" / "python"
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = Path(call(python, "-c", code, cwd=folder).strip())
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    (wheel,) = folder.glob("*.whl")
    call(*pip, "--python", python, "install", *options, wheel, cwd=folder)
    return folder


def test_every_file_of_the_packages_is_in_the_wheel(installed):
    (site,) = installed.glob("env/lib/python*/site-packages")

    def files(root):
        return {
            path.relative_to(root).as_posix()
            for top in TOPS
            for path in (root / top).rglob("*")
            if path.is_file() and path.suffix != ".pyc"
        }

    assert files(site) == files(ROOT)
    assert "benchmark/py.typed" in files(site)


def test_the_command_runs_outside_the_checkout(installed, tmp_path):
    out = call(
        installed / "env" / "bin" / "dml-benchmark",
        *["--preset", "smoke", "--defenses", "vanilla", "--attacks", "noise", "--no-checks"],
        *["--device", "cpu", "--workers", "1"],
        cwd=tmp_path,
        DML_BENCHMARK_CACHE=str(tmp_path / "cache"),
    )
    assert "done. The board: " in out
    assert "vanilla" in (tmp_path / "results" / "leaderboard.md").read_text()
    assert ",unknown" in (tmp_path / "results" / "cells.csv").read_text()  # no commit is known there


def test_the_python_interface_works_outside_the_checkout(installed, tmp_path):
    code = """if True:
        import torch
        import benchmark

        images, labels = torch.rand(8, 3, 8, 8), torch.arange(8) // 2
        attacked = benchmark.attack(torch.nn.Flatten(), images, labels, "fgsm[objective=own]", eps=0.1)
        print(benchmark.__file__, (attacked - images).abs().max() <= 0.1 + 1e-6)
    """
    out = call(installed / "env" / "bin" / "python", "-c", code, cwd=tmp_path)
    assert str(installed) in out and "True" in out
