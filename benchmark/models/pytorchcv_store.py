"""Weights of pytorchcv, from its own addresses into its own folder, but with nothing left half done.

Its own way there tries several times without any limit of time, writes to the terminal and unpacks in place.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.request import urlopen
from zipfile import ZipFile

_TIMEOUT = 15.0  # seconds without an answer
_STORE = Path("~/.torch/models")


def weights_name(model: str) -> str:
    """A name for the weights of a model of pytorchcv that changes with them."""
    return f"pytorchcv:{model}:{_known(model)[1]}"


def fetch_weights(model: str) -> Path:
    """The file of weights of a model, from pytorchcv's folder or fetched into it.

    Raises:
        OSError: when it cannot be fetched or written.
        ValueError: when what comes is not what pytorchcv knows by its sha1.
    """
    file, sha1, tag = _known(model)
    store = _STORE.expanduser()
    path = store / file
    if path.is_file() and _sha1(path) == sha1:
        return path
    from pytorchcv.models.common.model_store import imgclsmob_repo_url

    store.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=store) as folder:
        archive = Path(folder) / "weights.zip"
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
    """File name, sha1 and release of a model's weights, as pytorchcv lists them."""
    from pytorchcv.models.common.model_store import get_model_metainfo_dict

    _, error, sha1, tag = get_model_metainfo_dict()[model]
    return f"{model}-{error}-{sha1[:8]}.pth", sha1, tag


def _sha1(path: Path) -> str:
    return hashlib.sha1(path.read_bytes(), usedforsecurity=False).hexdigest()
