"""A whole tiny benchmark: a grid that takes seconds."""

from pathlib import Path

import pytest
import yaml

TINY = {
    "datasets": ["digits"],
    "defenses": ["vanilla"],
    "attacks": ["fgsm[objective=own]", "noise"],
    "seeds": [0],
    "training": {"epochs": 1, "batch_size": 64},
    "evaluation": {"eot": 2, "passes": 2},
    "curve": {"attacks": [], "factors": []},
    "checks": False,
}


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A configuration file for `--config`; its data set is small and its training one epoch."""
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(TINY))
    return path
