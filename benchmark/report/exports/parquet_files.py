"""The two CSV files as Parquet, with types and exact values."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pandas as pd

from benchmark.core.files import write_atomically
from benchmark.report.cell_results import Run
from benchmark.report.csv_files import cells_frame, leaderboard_frame
from benchmark.report.exports.base import Export
from benchmark.report.tables import Table

NUMBERS = ("value", "seconds", "forward_passes", "backward_passes")
"""Columns of cells that may be empty in every row, which would then have no type."""
TEXTS = ("metric", "protocol", "commit", "note")
"""The same of texts."""


class ParquetExport(Export):
    """Writes `leaderboard.parquet` and `cells.parquet`, with the columns of the CSV files."""

    name: ClassVar[str] = "parquet"
    package: ClassVar[str] = "pyarrow"

    def write(self, run: Run, tables: list[Table], output: Path) -> list[Path]:
        """Writes both files."""
        types = {**dict.fromkeys(NUMBERS, "float64"), **dict.fromkeys(TEXTS, "string")}
        frames = {
            "leaderboard": _typed(leaderboard_frame(run, tables)),
            "cells": cells_frame(run).astype(types),
        }
        return [_write(frame, output / f"{name}.parquet") for name, frame in frames.items()]


def _typed(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with columns in which every value is missing as numbers."""
    empty = [name for name in frame.columns if frame[name].dtype == object and frame[name].isna().all()]
    return frame.astype(dict.fromkeys(empty, "float64"))


def _write(frame: pd.DataFrame, path: Path) -> Path:
    write_atomically(path, lambda temporary: frame.to_parquet(temporary, engine="pyarrow", index=False))
    return path
