"""Names of data sets and backbones as readers see them: no paths, and parameters only where they matter."""

from __future__ import annotations

from benchmark.core.display_names import abbreviate
from benchmark.records import ModelKey, RunManifest


class DisplayNames:
    """What boards, plots, file names and CSV files show in place of the specs of data sets and backbones.

    Args:
        manifest: the grid, with the short names of the specs that hold a path.
    """

    def __init__(self, manifest: RunManifest) -> None:
        self._short = manifest.short_names
        keys: list[ModelKey] = [ref.key for ref in manifest.models]
        keys += [ref.key for ref in manifest.cells]
        self._brief: dict[str, str] = {}
        for specs in ({key.dataset for key in keys}, {key.backbone for key in keys}):
            self._brief |= abbreviate(map(self.short, specs))

    def short(self, spec: str) -> str:
        """The short name of a spec in the manifest; the spec itself where it has none."""
        return self._short.get(spec, spec)

    def brief(self, spec: str) -> str:
        """The short name without the parameters that all data sets or backbones of the run share."""
        name = self.short(spec)
        return self._brief.get(name, name)
