"""Names of data sets and backbones as readers see them: no paths, and parameters only where they matter."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from benchmark.core.spec import split_outside_brackets
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


def abbreviate(names: Iterable[str]) -> dict[str, str]:
    """Leaves out parameters that all names with one base share; distinct names stay distinct.

    Args:
        names: of one kind, as `base` or `base[key=value,...]`.

    Returns:
        The abbreviation of each name; one that is alone with its base is abbreviated to the base.
    """
    groups: dict[str, dict[str, list[str]]] = defaultdict(dict)
    for name in names:
        base, bracket, inner = name.partition("[")
        if bracket and not name.endswith("]"):
            base, inner = name, ""
        groups[base][name] = split_outside_brackets(inner[:-1], ",")
    brief = {}
    for base, group in groups.items():
        shared = set.intersection(*map(set, group.values()))
        for name, parameters in group.items():
            kept = ",".join(parameter for parameter in parameters if parameter not in shared)
            brief[name] = f"{base}[{kept}]" if kept else base
    return brief
