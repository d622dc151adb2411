"""The data sets: which of them are here, and where to get the others."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from benchmark.cli.commands import load
from benchmark.data import DATASETS, Dataset, Folders
from benchmark.data.folder import ImageFolder


def _counts(dataset: Dataset) -> str:
    counts = dataset.official
    if counts is None:
        return ""
    return (
        f"{counts.train_classes:,} classes, {counts.train_images:,} images / "
        f"{counts.test_classes:,} classes, {counts.test_images:,} images"
    )


def list_data(folders: Folders, plugins: Iterable[Path]) -> int:
    """Writes a few lines for each data set; reads no image.

    Args:
        folders: where they are looked for.
        plugins: files that may register more of them.
    """
    load(plugins)
    lines = []
    for name, cls in DATASETS.items():
        dataset = cls()
        missing = dataset.missing(folders)
        here = (
            "give a path: folder:PATH"
            if isinstance(dataset, ImageFolder)
            else "missing"
            if missing
            else "here"
        )
        lines.append(f"{name:<14} {here:<8} {_counts(dataset)}".rstrip())
        about = dataset.about
        if about is not None and missing:
            fetched = (
                "fetched with --download" if cls.download is not Dataset.download else "to be fetched by hand"
            )
            lines.append(f"{'':14} {about.size}, {fetched}; {about.licence}")
            lines.append(f"{'':14} {about.source}")
            lines.append(f"{'':14} wanted: {about.layout}")
    lines += [
        f"Data folder: {folders.data} (--data-root DIR, or the environment variable DML_BENCHMARK_DATA)",
        f"Cache: {folders.cache} (the environment variable DML_BENCHMARK_CACHE)",
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    return 0
