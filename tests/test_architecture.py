import subprocess
import sys
from pathlib import Path

import pytest

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    tomllib = pytest.importorskip("tomli")

ROOT = Path(__file__).parent.parent
TOPS = ("attacks", "benchmark", "defenses")


def with_sources(pattern):
    return {path.parent for top in TOPS for path in (ROOT / top).rglob(pattern)}


def test_imports_run_down_the_floors():
    command = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    done = subprocess.run(
        [sys.executable, "-c", command, "--no-cache", "--config", "pyproject.toml"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


def test_every_package_is_listed_for_installation():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    found = {".".join(folder.relative_to(ROOT).parts) for folder in with_sources("__init__.py")}
    assert set(settings["packages"]) == found
    assert len(settings["packages"]) == len(found)


def test_every_folder_with_sources_is_a_package():
    assert with_sources("*.py") == with_sources("__init__.py")


def test_files_that_are_not_python_are_listed_too():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    listed = {
        path
        for package, patterns in settings["package-data"].items()
        for pattern in patterns
        for path in (ROOT / package.replace(".", "/")).glob(pattern)
    }
    others = {
        path
        for top in TOPS
        for path in (ROOT / top).rglob("*")
        if path.is_file() and path.suffix not in {".py", ".pyc"}
    }
    assert listed == others
