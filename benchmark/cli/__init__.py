"""The command line."""

from benchmark.cli.entry import main

__all__ = ["main"]
