"""Checks of what a defense does to the process around it."""

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

from benchmark.evaluation.conformance.contract_check import ContractError, check
from benchmark.evaluation.conformance.fixture import ConformanceFixture
from benchmark.evaluation.conformance.settings import read_settings, restore
from defenses import Defense


def _use(fixture: ConformanceFixture) -> None:
    """Everything that the benchmark does with a defense, once."""
    model = fixture.build()
    fixture.loss(model)
    fixture.embed(model)
    model.differentiable()


@check(
    "Nothing that belongs to the whole process is changed.",
    "Use a context manager for it: torch.no_grad(), torch.autocast(...), warnings.catch_warnings().",
    trains=True,
)
def leaves_settings(fixture: ConformanceFixture) -> None:
    """One process runs the jobs of many defenses."""
    changes = []
    for _ in range(2):
        before = read_settings()
        _use(fixture)
        changes.append(restore(before))
    # Twice, because a package that is imported on the way may set something the first time.
    changed = [name for name in changes[0] if name in changes[1]]
    if changed:
        raise ContractError(f"it changes {' and '.join(changed)}")


@contextmanager
def _watched_writes() -> Iterator[list[str]]:
    """Within the block, notes the paths that are opened for writing or made as folders."""
    written: list[str] = []
    real_open, real_os_open, real_mkdir, real_save = builtins.open, os.open, os.mkdir, torch.save

    def note(path: Any) -> None:
        if isinstance(path, str | os.PathLike) and str(path) != os.devnull:
            written.append(str(path))

    def watched_open(file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        if set(mode) & set("wax+"):
            note(file)
        return real_open(file, mode, *args, **kwargs)

    def watched_os_open(path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            note(path)
        return real_os_open(path, flags, *args, **kwargs)

    def watched_mkdir(path: Any, *args: Any, **kwargs: Any) -> None:
        note(path)
        real_mkdir(path, *args, **kwargs)

    def watched_save(obj: Any, f: Any, *args: Any, **kwargs: Any) -> None:
        note(f)
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
    "Nothing is written.",
    "Take the writing out; the benchmark keeps the model, its loss curve and its figures.",
    trains=True,
)
def writes_nothing(fixture: ConformanceFixture) -> None:
    """Jobs run side by side, and their records are all that is kept."""
    with tempfile.TemporaryDirectory() as folder, _in_folder(folder), _watched_writes() as written:
        _use(fixture)
        left = [path.name for path in Path(folder).iterdir()]
    if written or left:
        raise ContractError(f"it writes {[*written, *left][0]}")


@contextmanager
def _in_folder(folder: str) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def _stored(defense: Defense) -> dict[str, str]:
    """What a defense and its class hold, as text."""
    held = {f"self.{key}": repr(value) for key, value in vars(defense).items()}
    held |= {f"self.{key}": repr(value) for key, value in (defense.__pydantic_private__ or {}).items()}
    for cls in type(defense).__mro__[: type(defense).__mro__.index(Defense)]:
        for key, value in vars(cls).items():
            if not key.startswith(("__", "_abc_", "model_")) and not callable(value):
                held[f"{cls.__name__}.{key}"] = repr(value)
    return held


@check(
    "Nothing is stored in the defense or its class.",
    "Keep what lasts between steps in the model that build returns, as a buffer; a defense is only its "
    "parameters.",
    trains=True,
)
def stays_frozen(fixture: ConformanceFixture) -> None:
    """A worker builds the defense anew from its spec, and would find nothing."""
    before = _stored(fixture.defense)
    _use(fixture)
    after = _stored(fixture.defense)
    changed = [key for key in {**before, **after} if before.get(key) != after.get(key)]
    if changed:
        raise ContractError(f"{changed[0]} changes while it is used")
