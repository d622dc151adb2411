import importlib.util
import sys
from pathlib import Path

import pytest

from benchmark.data import Folders

_spec = importlib.util.spec_from_file_location(
    "layouts_on_disk", Path(__file__).with_name("layouts_on_disk.py")
)
sys.modules["layouts_on_disk"] = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(sys.modules["layouts_on_disk"])


@pytest.fixture
def places(tmp_path):
    (tmp_path / "data").mkdir()
    return Folders(tmp_path / "cache", tmp_path / "data")
