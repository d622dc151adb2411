"""Weights of pytorchcv, downloaded atomically from its addresses into its folder.

pytorchcv's own download retries without a time limit, writes to the terminal and unpacks in place.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from urllib.request import urlopen
from zipfile import ZipFile

from benchmark.core.unfinished import temporary_folder

_TIMEOUT = 15.0  # seconds without an answer
_STORE = Path("~/.torch/models")


def weights_name(model: str) -> str:
    """Return a name for the weights of a model of pytorchcv that changes when they do."""
    return f"pytorchcv:{model}:{_known(model)[1]}"


def fetch_weights(model: str) -> Path:
    """Return the weights file of a model in pytorchcv's folder, downloading it where it is missing.

    Raises:
        OSError: when it cannot be downloaded or written.
        ValueError: when the sha1 of the download is not the one that pytorchcv lists.
    """
    file, sha1, tag = _known(model)
    store = _STORE.expanduser()
    path = store / file
    if path.is_file() and _sha1(path) == sha1:
        return path
    from pytorchcv.models.common.model_store import imgclsmob_repo_url

    store.mkdir(parents=True, exist_ok=True)
    with temporary_folder(store) as folder:
        archive = folder / "weights.zip"
        address = f"{imgclsmob_repo_url}/releases/download/{tag}/{file}.zip"
        with urlopen(address, timeout=_TIMEOUT) as answer, archive.open("wb") as copy:
            shutil.copyfileobj(answer, copy)
        with ZipFile(archive) as parts:
            fetched = Path(parts.extract(file, folder))
        if _sha1(fetched) != sha1:
            raise ValueError(f"{address} is damaged")
        fetched.replace(path)
    return path


def _known(model: str) -> tuple[str, str, str]:
    """Return the file name, sha1 and release of a model's weights, as pytorchcv lists them."""
    from pytorchcv.models.common.model_store import get_model_metainfo_dict

    _, error, sha1, tag = get_model_metainfo_dict()[model]
    return f"{model}-{error}-{sha1[:8]}.pth", sha1, tag


def _sha1(path: Path) -> str:
    return hashlib.sha1(path.read_bytes(), usedforsecurity=False).hexdigest()
