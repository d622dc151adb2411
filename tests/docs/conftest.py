import importlib
import sys

import pytest
import yaml

from benchmark.plugins.registries import REGISTRIES

from ..plugins.users_plugin import forget

TINY = {
    "datasets": ["glyphs[classes=16,per_class=6]"],
    "defenses": ["vanilla"],
    "attacks": ["noise"],
    "scenarios": ["retrieval-query"],
    "seeds": [0],
    "training": {"epochs": 1, "batch_size": 128, "inner_steps": 1},
    "evaluation": {"eot": 2, "repeats": 2},
    "curve": {"attacks": [], "factors": []},
    "checks": False,
    "workers": 1,
}
"""A grid of seconds: what a guide's command leaves open is as small as it can be."""


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """An empty working directory on the path; what is imported from it and registered is undone."""
    for registry in REGISTRIES.values():
        monkeypatch.setattr(registry, "_entries", dict(registry._entries))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(TINY))
    importlib.invalidate_caches()
    forget()
    yield tmp_path
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None)).startswith(str(tmp_path)):
            del sys.modules[name]
    forget()
