"""The folders of data sets and of the cache."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from platformdirs import user_cache_path, user_data_path

from benchmark.core.files import expand_home

if TYPE_CHECKING:
    from benchmark.data import Folders

APPLICATION = "dml-robustness-benchmark"


def folders_for(data_root: Path | None = None, blank: bool = False) -> Folders:
    """Chooses the folders: the user's, else those of the environment, else the system's defaults.

    Args:
        data_root: the user's folder of data sets, if one was given.
        blank: whether black images stand in for data sets that are missing.
    """
    from benchmark.data import Folders

    cache = Path(os.environ.get("DML_BENCHMARK_CACHE") or user_cache_path(APPLICATION))
    data = data_root or os.environ.get("DML_BENCHMARK_DATA") or user_data_path(APPLICATION)
    return Folders(expand_home(cache), expand_home(Path(data)).resolve(), blank)
