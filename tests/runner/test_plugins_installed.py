"""Packages that are found through entry points; really installed, by pip, into a folder of their own."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

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


def install(folder, name="acme-dml", module=INIT, factor=2):
    """Makes a wheel by hand, which needs no build backend and no network, and has pip install it."""
    package = name.replace("-", "_")
    wheel = folder / f"{package}-1.0-py3-none-any.whl"
    info = f"{package}-1.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(f"{package}/__init__.py", module)
        archive.writestr(f"{package}/losses.py", LOSSES.format(factor=factor))
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/entry_points.txt", f"[dml_benchmark.defenses]\nacme = {package}\n")
        archive.writestr(f"{info}/RECORD", "")
    target = folder / "site"
    options = ["--no-index", "--no-deps", "--upgrade", "--quiet", "--disable-pip-version-check"]
    subprocess.run(
        [sys.executable, "-m", "pip", "install", *options, "--target", str(target), str(wheel)],
        check=True,
        timeout=60,
    )
    return target


def python(code, site, folder):
    environment = {**os.environ, "PYTHONPATH": f"{site}{os.pathsep}{ROOT}"}
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=folder, env=environment, timeout=60
    )


IDENTITY = """if True:
    from benchmark.runner.identity import source_digest
    from benchmark.runner.plugins import load_plugins
    from defenses import DEFENSES
    assert load_plugins([]) == ()
    print(source_digest([DEFENSES.get("acme_at")]))
"""


def test_an_installed_defense_is_found_and_its_source_is_part_of_its_identity(tmp_path):
    digests = []
    for factor in (2, 2, 3):
        done = python(IDENTITY, install(tmp_path, factor=factor), tmp_path)
        assert done.returncode == 0, done.stderr
        digests.append(done.stdout)
    assert digests[0] == digests[1] != digests[2]


RUN = """if True:
    import sys
    from benchmark.cli import main
    sys.exit(main(sys.argv[1:] or {arguments!r}))
"""


def test_an_installed_defense_gets_a_row_from_workers_too(tmp_path):
    config = tmp_path / "tiny.yaml"
    config.write_text("training: {epochs: 1}\ndatasets: digits\nattacks: noise\nworkers: 2\nchecks: false\n")
    arguments = ["--defenses", "acme_at", "--config", str(config), "--output", "out", "--no-progress"]
    done = python(RUN.format(arguments=arguments), install(tmp_path), tmp_path)
    assert done.returncode == 0, done.stderr
    assert "acme_at" in (tmp_path / "out" / "leaderboard.csv").read_text()


@pytest.mark.parametrize(
    ("module", "said"),
    [
        (INIT + "\nimport not_there_at_all\n", "ModuleNotFoundError"),
        (INIT.replace("def loss", "def lose"), "no method loss"),
        ("x = 1", "registers nothing"),
    ],
)
def test_a_broken_package_is_left_out_with_one_line_and_nothing_else_suffers(tmp_path, module, said):
    arguments = ["--defenses", "vanilla", "--datasets", "digits", "--attacks", "noise", "--dry-run"]
    site = install(
        tmp_path, module=module.replace("acme_dml.losses", "acme_broken.losses"), name="acme-broken"
    )
    done = python(RUN.format(arguments=arguments), site, tmp_path)
    assert done.returncode == 0, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("warning: The installed package acme-broken is left out")
    assert said in line
    # Nothing of it stays behind.
    done = python(RUN.format(arguments=["--defenses", "acme_at", "--dry-run"]), site, tmp_path)
    assert done.returncode == 2
    assert "Unknown defense 'acme_at'" in done.stderr
