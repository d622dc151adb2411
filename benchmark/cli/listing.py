"""The list of data sets: which are on this machine, and where to get the others."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from pathlib import Path

from benchmark.cli.plugin_warnings import load
from benchmark.core.output import say
from benchmark.data import DATASETS, Dataset, Folders
from benchmark.data.downloads import can_download
from benchmark.data.user_images import UserImages

_WIDTH = 110
_FORM = "{:<14} {:<10} {:>15}  {:>17}  {:<8} {:<10} {}"
_BEFORE_LICENSE = 82


def list_data(folders: Folders, plugins: Iterable[Path]) -> int:
    """Writes a row for each data set, and where to get the missing ones; reads no image.

    Args:
        folders: the folders that are searched.
        plugins: files that may register more data sets.
    """
    load(plugins)
    lines = [_FORM.format("data set", "", "classes", "images", "size", "--download", "license").rstrip()]
    lines.append(_FORM.format("", "", "train / test", "train / test", "", "", "").rstrip())
    absent = []
    for name, cls in sorted(DATASETS.items()):
        dataset = cls()
        reason = dataset.missing(folders)
        lines += _row(name, dataset, reason)
        if reason and not isinstance(dataset, UserImages):
            absent.append(reason)
    for line in absent:
        lines += ["", *textwrap.wrap(line, _WIDTH, break_long_words=False, break_on_hyphens=False)]
    lines += [
        "",
        f"Data folder: {folders.data}",
        "  (another: --data-root DIR, or the environment variable DML_BENCHMARK_DATA)",
        f"Cache of what was decoded: {folders.cache}",
        "  (another: the environment variable DML_BENCHMARK_CACHE)",
        "Layouts and licenses in full: docs/datasets.md",
    ]
    say(*lines)
    return 0


def _row(name: str, dataset: Dataset, reason: str | None) -> list[str]:
    counts, about = dataset.official, dataset.about
    license = textwrap.wrap(about.license if about else "", _WIDTH - _BEFORE_LICENSE)
    first = _FORM.format(
        name,
        "needs PATH" if isinstance(dataset, UserImages) else "missing" if reason else "here",
        f"{counts.train_classes:,} / {counts.test_classes:,}" if counts else "",
        f"{counts.train_images:,} / {counts.test_images:,}" if counts else "",
        about.size if about else "",
        "" if about is None else "yes" if can_download(dataset) else "no",
        license[0] if license else "",
    )
    return [first.rstrip(), *(" " * _BEFORE_LICENSE + line for line in license[1:])]
