import importlib
import sys

import pytest

from defenses import DEFENSES

from .users_plugin import forget


@pytest.fixture
def sandbox(tmp_path, monkeypatch):
    """An empty folder; what a test imports from it, registers and puts on the path is undone."""
    monkeypatch.setattr(DEFENSES, "_entries", dict(DEFENSES._entries))
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = dict(sys.modules)
    importlib.invalidate_caches()
    forget()
    yield tmp_path
    for name in sys.modules.keys() - before.keys():
        del sys.modules[name]
    sys.modules.update(before)
    forget()
