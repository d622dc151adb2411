"""The scripts of the page on clusters."""

import re
import subprocess

import pytest

from benchmark.core.source import ROOT

PAGE = (ROOT / "docs" / "clusters.md").read_text(encoding="utf-8")
SCRIPTS = re.findall(r"^```(?:bash|sh)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("script", SCRIPTS, ids=range(len(SCRIPTS)))
def test_a_script_is_sound_bash(script):
    done = subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_both_ways_on_slurm_have_a_script():
    batch = [script for script in SCRIPTS if "#SBATCH" in script]
    assert len(batch) == 2
    assert all(script.startswith("#!/usr/bin/env bash\n") for script in batch)
