"""Names of settings (data set, backbone, loss): in full in a legend, abbreviated elsewhere."""

from __future__ import annotations

from collections.abc import Iterable

from benchmark.core.display_names import abbreviate
from benchmark.data import DATASETS
from benchmark.jobs.models import UNUSED
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
            field: list(dict.fromkeys(spec for key in keys if (spec := getattr(key, field)) != UNUSED))
            for field, _, _ in _KINDS
        }
        self._short = {
            (field, spec): registry.build(spec).short_name
            for field, _, registry in _KINDS
            for spec in self._specs[field]
        }

    def short(self, field: str, spec: str) -> str:
        """The short name of a spec; `field` is "dataset", "backbone" or "loss"."""
        return self._short[field, spec]

    def _brief(self, field: str, spec: str) -> str:
        """The short name without the parameters that all of the run's share."""
        short = [self._short[field, other] for other in self._specs[field]]
        return abbreviate(short)[self._short[field, spec]]

    def legend(self) -> list[str]:
        """Lists each data set, backbone and loss in full, with the short name where it differs."""
        lines = []
        for field, title, _ in _KINDS:
            for spec in self._specs[field]:
                brief = self._brief(field, spec)
                lines.append(f"{title}: {spec}" if brief == spec else f"{title} {brief}: {spec}")
        return lines

    def prefix(self, key: ModelKey) -> str:
        """A prefix that tells a model's setting from the others of the run; empty when there is only one."""
        several = [field for field, _, _ in _KINDS if len(self._specs[field]) > 1]
        setting = " / ".join(
            self._brief(field, getattr(key, field)) for field in several if getattr(key, field) != UNUSED
        )
        return f"{setting}: " if setting else ""
