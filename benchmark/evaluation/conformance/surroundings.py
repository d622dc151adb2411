"""Checks that a defense changes nothing in its process: settings, files and its own class."""

from __future__ import annotations

import builtins
import io
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from benchmark.evaluation.conformance.contract_check import ContractError
from benchmark.evaluation.conformance.defense_contract import check
from benchmark.evaluation.conformance.fixture import PHASES, ConformanceFixture
from benchmark.evaluation.conformance.settings import read_settings, restore
from defenses import Defense


def _use(fixture: ConformanceFixture) -> None:
    """Builds a model, computes losses, embeds images, and takes the stand-in for gradients."""
    model = fixture.build()
    for progress in PHASES:
        fixture.loss(model, progress=progress)
    fixture.embed(model)
    model.differentiable()


@check(
    "Settings of the whole process are not changed.",
    "Use a context manager instead: torch.no_grad(), torch.autocast(...), warnings.catch_warnings().",
    trains=True,
)
def leaves_settings(fixture: ConformanceFixture) -> None:
    """Checks the settings of the process, which runs the jobs of many defenses."""
    changes = []
    for _ in range(2):
        before = read_settings()
        _use(fixture)
        changes.append(restore(before))
    # Twice, because a package imported by the defense may change a setting on import.
    changed = [name for name in changes[0] if name in changes[1]]
    if changed:
        raise ContractError(f"it changes {' and '.join(changed)}")


@contextmanager
def _watched_writes() -> Iterator[list[str]]:
    """Records the paths that the block opens for writing or creates as folders."""
    written: list[str] = []
    real_open, real_os_open, real_mkdir, real_save = builtins.open, os.open, os.mkdir, torch.save

    def record(path: Any) -> None:
        if isinstance(path, str | os.PathLike) and str(path) != os.devnull:
            written.append(str(path))

    def watched_open(file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        if set(mode) & set("wax+"):
            record(file)
        return real_open(file, mode, *args, **kwargs)

    def watched_os_open(path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            record(path)
        return real_os_open(path, flags, *args, **kwargs)

    def watched_mkdir(path: Any, *args: Any, **kwargs: Any) -> None:
        record(path)
        real_mkdir(path, *args, **kwargs)

    def watched_save(obj: Any, f: Any, *args: Any, **kwargs: Any) -> None:
        record(f)
        real_save(obj, f, *args, **kwargs)

    with ExitStack() as stack:
        for owner, name, replacement in (
            (builtins, "open", watched_open),
            (io, "open", watched_open),
            (os, "open", watched_os_open),
            (os, "mkdir", watched_mkdir),
            (torch, "save", watched_save),
        ):
            stack.enter_context(mock.patch.object(owner, name, replacement))
        yield written


@check(
    "No file is written.",
    "Remove what writes; the benchmark saves the model, its loss curve and its metrics.",
    trains=True,
)
def writes_nothing(fixture: ConformanceFixture) -> None:
    """Checks that no file is written, because jobs run in parallel and only their records are kept."""
    with tempfile.TemporaryDirectory() as folder, _in_folder(folder), _watched_writes() as written:
        _use(fixture)
        left = [path.name for path in Path(folder).iterdir()]
    if written or left:
        raise ContractError(f"it writes {[*written, *left][0]}")


@contextmanager
def _in_folder(folder: str) -> Iterator[None]:
    """Makes a folder the working directory of the block."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def _stored(defense: Defense) -> dict[str, str]:
    """Attributes of a defense and its classes, by name, as text."""
    attributes = {f"self.{key}": repr(value) for key, value in vars(defense).items()}
    attributes |= {f"self.{key}": repr(value) for key, value in (defense.__pydantic_private__ or {}).items()}
    for cls in type(defense).__mro__[: type(defense).__mro__.index(Defense)]:
        for key, value in vars(cls).items():
            if not key.startswith(("__", "_abc_", "model_")) and not callable(value):
                attributes[f"{cls.__name__}.{key}"] = repr(value)
    return attributes


@check(
    "Nothing is stored in the defense or its class.",
    "Keep state in the model that build returns, as a buffer; a defense is only its parameters.",
    trains=True,
)
def stays_frozen(fixture: ConformanceFixture) -> None:
    """Checks that no attribute changes, because each worker builds the defense again from its spec."""
    before = _stored(fixture.defense)
    _use(fixture)
    after = _stored(fixture.defense)
    changed = [key for key in {**before, **after} if before.get(key) != after.get(key)]
    if changed:
        raise ContractError(f"{changed[0]} changes during use")
