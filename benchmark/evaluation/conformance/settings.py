"""Settings of the whole process and its random generators: reads, compares and restores them."""

from __future__ import annotations

import os
import random
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch


@dataclass(frozen=True)
class Setting:
    """One setting of the whole process.

    Attributes:
        name: the words for it in messages.
        read: returns the value.
        write: sets the value.
    """

    name: str
    read: Callable[[], Any]
    write: Callable[[Any], Any]


def _set_filters(filters: list[Any]) -> None:
    warnings.filters[:] = filters  # type: ignore[index]


def _set_environment(values: dict[str, str]) -> None:
    os.environ.clear()
    os.environ.update(values)


SETTINGS = (
    Setting("the gradient mode", torch.is_grad_enabled, torch.set_grad_enabled),
    Setting("the default dtype", torch.get_default_dtype, torch.set_default_dtype),
    Setting("the default device", torch.get_default_device, torch.set_default_device),
    Setting("the number of torch's threads", torch.get_num_threads, torch.set_num_threads),
    Setting(
        "the flag of deterministic algorithms",
        torch.are_deterministic_algorithms_enabled,
        torch.use_deterministic_algorithms,
    ),
    Setting(
        "a flag of cuDNN",
        lambda: (torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark),
        lambda flags: torch.backends.cudnn.set_flags(_deterministic=flags[0], _benchmark=flags[1]),
    ),
    Setting("the anomaly mode", torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly),
    Setting(
        "the precision of matrix products",
        torch.get_float32_matmul_precision,
        torch.set_float32_matmul_precision,
    ),
    Setting("numpy's handling of errors", np.geterr, lambda values: np.seterr(**values)),
    Setting("the warning filters", lambda: list(warnings.filters), _set_filters),
    Setting("the environment variables", lambda: dict(os.environ), _set_environment),
    Setting("the working directory", os.getcwd, os.chdir),
)


def read_settings() -> dict[str, Any]:
    """Reads the value of every setting, by name."""
    return {setting.name: setting.read() for setting in SETTINGS}


def restore(before: dict[str, Any]) -> list[str]:
    """Restores the settings that differ from `before`, and returns their names."""
    changed = [setting for setting in SETTINGS if setting.read() != before[setting.name]]
    for setting in changed:
        setting.write(before[setting.name])
    return [setting.name for setting in changed]


def read_generators() -> dict[str, Any]:
    """Reads the states of the random generators, in a form comparable with ==."""
    kind, keys, *rest = np.random.get_state()
    return {
        "torch": torch.get_rng_state().numpy().tobytes(),
        "Python": random.getstate(),
        "numpy": (kind, np.asarray(keys).tobytes(), tuple(rest)),
    }


@contextmanager
def unchanged_settings() -> Iterator[None]:
    """Restores all settings and random generators after the block."""
    before = read_settings()
    python, numpy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        restore(before)
