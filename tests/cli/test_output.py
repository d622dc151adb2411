import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
COMMAND = f"'{sys.executable}' '{ROOT / 'run_benchmark.py'}'"
FULL = pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full device here")


def run(arguments, folder, **environment):
    """Runs a command in a shell, which may redirect it."""
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", f"{COMMAND} {arguments}"],
        capture_output=True,
        cwd=folder,
        timeout=120,
        env={**os.environ, **environment},
    )


@pytest.mark.parametrize(
    "redirected",
    [">&-", pytest.param(">/dev/full", marks=FULL), "| true", "2>&-", ">&- 2>&- <&-"],
)
@pytest.mark.parametrize(("command", "status"), [("--help", 0), ("--seeds", 2), ("--nope", 2)])
def test_the_status_does_not_depend_on_the_streams(tmp_path, redirected, command, status):
    done = run(f"{command} {redirected}", tmp_path)
    assert done.returncode == status
    assert b"Traceback" not in done.stderr and b"Exception ignored" not in done.stderr


@FULL
def test_a_usage_error_on_a_full_stderr_keeps_its_status(tmp_path):
    assert run("--seeds 2>/dev/full", tmp_path).returncode == 2


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_characters_that_the_encoding_lacks_are_escaped(tmp_path, encoding):
    done = run("--output データ --report-only", tmp_path, PYTHONIOENCODING=encoding)
    assert done.returncode == 2 and b"\\u30c7\\u30fc\\u30bf" in done.stderr
    done = run("--new-defense aé", tmp_path, PYTHONIOENCODING=encoding)
    assert done.returncode == 2 and b"Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("redirected", [">&- 2>&-", pytest.param(">/dev/full 2>&1", marks=FULL), "| head -1"])
def test_a_run_is_computed_whole_whatever_becomes_of_its_output(tmp_path, tiny, redirected):
    plugin = tmp_path / "loud.py"
    plugin.write_text(LOUD)
    done = run(
        f"--config {tiny} --plugin {plugin} --defenses loud --workers 1 --output データ {redirected}",
        tmp_path,
        PYTHONIOENCODING="ascii",
    )
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "データ" / "leaderboard.md").read_text(encoding="utf-8")
    assert "Cells without metrics" not in page


LOUD = '''
import sys
from benchmark.report.figures import FigurePicture
from defenses import DEFENSES, Defense

FigurePicture.draw = lambda picture, source: ""  # they take most of the time of a small run

@DEFENSES.register("loud")
class Loud(Defense):
    """Prints what no stream takes."""
    def loss(self, model, batch, attack):
        print("データ" * 1000, flush=True)
        sys.stderr.write("データ" * 1000)
        return model.loss(model(batch.images), batch.labels)
'''
