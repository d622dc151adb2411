"""Imports a script of this folder as a program would: with the scripts beside it."""

import importlib
import sys
from pathlib import Path


def load_script(name):
    """Returns the module of a script; the path of imports is left as it was."""
    folder = str(Path(__file__).parent)
    before = list(sys.path)
    sys.path.insert(0, folder)
    try:
        return importlib.import_module(name)
    finally:
        sys.path[:] = before
