"""Figures of an earlier report that need not be drawn again, because nothing changed that they show."""

from __future__ import annotations

import json
from collections.abc import Iterable
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

from benchmark.core.files import content_digest
from benchmark.core.source import SOURCE_DIGEST
from benchmark.records.figures import FiguresRecord
from benchmark.report.cell_results import Run

_LIBRARIES = ("matplotlib", "numpy", "openTSNE")


def figure_inputs(run: Run) -> str:
    """Hashes all that figures are drawn from: the grid, the records, the source and versions of libraries.

    Of the arrays, which may be large and are never written twice with other content, size and time of writing
    are hashed.
    """
    manifest = run.manifest
    budgets = sorted({(ref.model_id, ref.key.norm, ref.key.eps) for ref in manifest.cells})
    checks = [run.checks(*budget) for budget in budgets]
    inputs = {
        "source": SOURCE_DIGEST,
        "libraries": [version(name) for name in _LIBRARIES],
        "manifest": manifest.model_dump(mode="json", exclude={"command", "provenance"}),
        "models": {key: record.model_dump(mode="json") for key, record in run.models.items()},
        "cells": [
            [cell.ref.id, cell.status, cell.reason, cell.record and cell.record.model_dump(mode="json")]
            for cell in run.cells
        ],
        "arrays": [run.arrays_stamp(cell) for cell in run.cells],
        "checks": [found and found.model_dump(mode="json", exclude={"provenance"}) for found in checks],
    }
    return sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


def kept_figures(run: Run, inputs: str, folder: Path) -> frozenset[str] | None:
    """Finds the figures of an earlier report, if it drew them from the same and all of them are unchanged.

    Args:
        run: the run.
        inputs: hash of what they would be drawn from now.
        folder: where they are.

    Returns:
        The names of their files; None when they must be drawn.
    """
    record = run.figures()
    if record is None or record.inputs != inputs:
        return None
    try:
        same = all(content_digest(folder / name) == digest for name, digest in record.files.items())
    except OSError:  # one was deleted
        return None
    return frozenset(record.files) if same else None


def note_figures(run: Run, inputs: str, paths: Iterable[Path]) -> None:
    """Records what figures were drawn from."""
    files = {path.name: content_digest(path) for path in paths}
    run.save_figures(FiguresRecord(inputs=inputs, files=files))
