"""The passes of a transferred attack are counted in units of the model that makes them."""

import json

import pytest

from benchmark.cli import main

from ..conftest import TINY


@pytest.mark.slow
@pytest.mark.usefixtures("without_figures")
def test_a_row_without_a_network_is_charged_the_passes_of_the_source(tmp_path):
    options = TINY | {
        "defenses": ["pixels", "vanilla"],
        "attacks": ["transfer[attack=fgsm[objective=own]]"],
        "checks": False,
    }
    config = tmp_path / "tiny.yaml"
    config.write_text(json.dumps(options))
    assert main(["--config", str(config), "--output", str(tmp_path / "out"), "--no-progress"]) == 0
    records = [json.loads(path.read_text()) for path in (tmp_path / "out" / "store" / "cells").glob("*.json")]
    passes = [
        r["forward_passes"] for r in records if r["key"]["defense"] == "pixels" and r["key"]["norm"] != "none"
    ]
    assert passes and 0 < max(passes) < 10_000  # images of a tiny pool, not their FLOPs
