"""The settings of a run (data set, backbone, loss): written out once, and abbreviated afterwards."""

from __future__ import annotations

from collections.abc import Iterable

from benchmark.data import DATASETS
from benchmark.losses import LOSSES
from benchmark.models import BACKBONES
from benchmark.records import ModelKey

_KINDS = (("dataset", "data set", DATASETS), ("backbone", "backbone", BACKBONES), ("loss", "loss", LOSSES))


class SettingNames:
    """Names the settings of some models.

    Args:
        keys: of the models.
    """

    def __init__(self, keys: Iterable[ModelKey]) -> None:
        keys = list(keys)
        self._specs = {
            field: list(dict.fromkeys(getattr(key, field) for key in keys)) for field, _, _ in _KINDS
        }
        self._short = {
            (field, spec): registry.build(spec).short_name
            for field, _, registry in _KINDS
            for spec in self._specs[field]
        }

    def short(self, field: str, spec: str) -> str:
        """The short name of a spec; `field` is "dataset", "backbone" or "loss"."""
        return self._short[field, spec]

    def legend(self) -> list[str]:
        """Each data set, backbone and loss in full, with its short name where that is another."""
        lines = []
        for field, title, _ in _KINDS:
            for spec in self._specs[field]:
                short = self._short[field, spec]
                lines.append(f"{title}: {spec}" if short == spec else f"{title} {short}: {spec}")
        return lines

    def prefix(self, key: ModelKey) -> str:
        """What distinguishes a model's setting from the others of the run; empty where there is one."""
        several = [field for field, _, _ in _KINDS if len(self._specs[field]) > 1]
        words = " / ".join(self._short[field, getattr(key, field)] for field in several)
        return f"{words}: " if words else ""
