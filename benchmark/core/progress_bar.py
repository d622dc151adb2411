"""A progress bar for work that takes long before any job runs: decoding, checking, downloading."""

from __future__ import annotations

import io
import sys

from rich.console import Console
from rich.progress import Progress, ProgressColumn

from benchmark.core.output import is_terminal, safe


def progress_bar(*columns: ProgressColumn, transient: bool = True) -> Progress:
    """Makes a bar on stderr; it shows nothing at all where stderr is no terminal.

    Args:
        columns: what it shows besides rich's own columns.
        transient: whether it vanishes at its end.
    """
    shown = is_terminal(sys.stderr)
    # A disabled bar of some versions of rich writes an empty line at its end.
    console = Console(file=safe(sys.stderr) if shown else io.StringIO())
    every = (*Progress.get_default_columns(), *columns)
    return Progress(*every, console=console, transient=transient, disable=not shown)
