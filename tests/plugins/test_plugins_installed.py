"""Packages that are found through entry points; really installed, by pip, into a folder of their own."""

import contextlib
import importlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from benchmark.cli import main
from benchmark.jobs import RunContext, run_job
from benchmark.planning import identity
from benchmark.plugins import reach
from benchmark.plugins.load import load_installed, load_plugins
from defenses import DEFENSES

ROOT = Path(__file__).resolve().parents[2]

INIT = '''
from acme_dml.losses import scaled
from defenses import DEFENSES, Defense


@DEFENSES.register("acme_at")
class AcmeAT(Defense):
    """Acme's."""

    def loss(self, model, batch, attack):
        return scaled(model.loss(model(batch.images), batch.labels))
'''
LOSSES = """
def scaled(loss):
    return {factor} * loss
"""


def wheel(folder, name="acme-dml", module=INIT, factor=2):
    """Makes a wheel by hand, which needs no build backend and no network."""
    package = name.replace("-", "_")
    file = folder / f"{package}-1.0-py3-none-any.whl"
    info = f"{package}-1.0.dist-info"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(f"{package}/__init__.py", module)
        archive.writestr(f"{package}/losses.py", LOSSES.format(factor=factor))
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/entry_points.txt", f"[dml_benchmark.defenses]\nacme = {package}\n")
        archive.writestr(f"{info}/RECORD", "")
    return file


def unpacked(file):
    """What an installation of a wheel comes to, without the seconds that pip takes."""
    site = file.parent / "site"
    with zipfile.ZipFile(file) as archive:
        archive.extractall(site)
    return site


def forget():
    """Makes the next look-up read the installed packages again, as a new process would."""
    load_installed.cache_clear()
    identity.forget()
    reach.forget()


@pytest.fixture
def loaded(monkeypatch):
    """Loads what is installed in a folder, as a new process would."""
    entries, path = dict(DEFENSES._entries), list(sys.path)
    monkeypatch.setattr(DEFENSES, "_entries", dict(entries))

    def load(site):
        DEFENSES._entries.clear()
        DEFENSES._entries.update(entries)
        sys.path[:] = [str(site), *path]
        for name in [name for name in sys.modules if name.startswith("acme_")]:
            del sys.modules[name]
        importlib.invalidate_caches()
        forget()
        return load_plugins([])

    yield load
    forget()
    sys.path[:] = path


def test_an_installed_defense_is_found_and_its_source_is_part_of_its_identity(tmp_path, loaded):
    digests = []
    for number, factor in enumerate((2, 2, 3)):
        folder = tmp_path / str(number)
        folder.mkdir()
        assert loaded(unpacked(wheel(folder, factor=factor))) == ()
        digests.append(identity.source_digest([DEFENSES.get("acme_at")]))
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.slow
def test_what_pip_installs_stands_in_the_list(tmp_path):
    site = tmp_path / "site"
    options = ["--no-index", "--no-deps", "--no-compile", "--quiet", "--disable-pip-version-check"]
    pip = [sys.executable, "-m", "pip", "install", *options, "--target", str(site), str(wheel(tmp_path))]
    subprocess.run(pip, check=True, timeout=60)
    done = subprocess.run(
        [sys.executable, str(ROOT / "run_benchmark.py"), "--list"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(site)},
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "  acme_at            Acme's.\n" in done.stdout


def test_workers_load_what_is_installed_too(tmp_path, loaded):
    loaded(unpacked(wheel(tmp_path)))
    DEFENSES.forget("acme_at")
    load_installed.cache_clear()
    del sys.modules["acme_dml"]  # so far as a worker that has just been started
    context = RunContext(output=tmp_path, cache=tmp_path, data=tmp_path, device="cpu", plugins=(), commit="")
    with contextlib.suppress(AttributeError):
        run_job(None, context)  # no job at all: it gets as far as loading
    assert "acme_at" in DEFENSES.names()


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (INIT + "\nimport not_there_at_all\n", "ModuleNotFoundError"),
        (INIT.replace("def loss", "def lose"), "no method loss"),
        ("x = 1", "registers nothing"),
    ],
)
def test_a_broken_package_is_left_out_with_one_line_and_nothing_else_suffers(
    tmp_path, loaded, capsys, module, message
):
    module = module.replace("acme_dml.losses", "acme_broken.losses")
    (line,) = loaded(unpacked(wheel(tmp_path, module=module, name="acme-broken")))
    assert line.startswith("The installed package acme-broken is left out")
    assert "\n" not in line
    assert message in line
    assert "acme_at" not in DEFENSES.names()  # nothing of it stays behind
    arguments = ["--datasets", "digits", "--attacks", "noise", "--dry-run", "--output", str(tmp_path / "out")]
    assert main(["--defenses", "vanilla", *arguments]) == 0
    assert capsys.readouterr().err == f"warning: {line}\n"
    assert main(["--defenses", "acme_at", *arguments]) == 2
    assert "Unknown defense 'acme_at'" in capsys.readouterr().err
