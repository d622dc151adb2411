"""Specs as readers see them: no paths, and parameters only where they matter."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from unicodedata import normalize

from benchmark.core.display_names import abbreviate, sentence_without_folders
from benchmark.records import CLEAN, ModelKey, RunManifest
from benchmark.report.attack_names import short_attack_names

NOT_TRAINED = "none"
"""What stands in place of a backbone, a loss or a compute mode where nothing was trained."""


class DisplayNames:
    """What boards, plots, file names and CSV files show in place of specs.

    Specs of one kind whose short names are the same, as of two files of one name, are numbered.

    Args:
        manifest: the grid, with the short names of the specs that hold a path.
    """

    def __init__(self, manifest: RunManifest) -> None:
        keys: list[ModelKey] = [*(ref.key for ref in manifest.models), *(ref.key for ref in manifest.cells)]
        self._short = dict(manifest.short_names)
        for kind in ModelKey.model_fields.keys() - {"seed"}:
            self._short |= _numbered({getattr(key, kind) for key in keys}, manifest.short_names)
        self._short |= _numbered({ref.key.attack for ref in manifest.cells}, manifest.short_names)
        attacks = {ref.key.attack for ref in manifest.cells} - {CLEAN}
        of_attacks = short_attack_names(map(self.short, attacks))
        self._attacks = {spec: of_attacks[self.short(spec)] for spec in attacks}
        self._brief: dict[str, str] = {}
        for specs in ({key.dataset for key in keys}, {key.backbone for key in keys}):
            self._brief |= abbreviate(map(self.short, specs))
        # A spec may be part of another, which has to be replaced as a whole.
        self._longest_first = sorted(self._short, key=lambda spec: (-len(spec), spec))

    def short(self, spec: str) -> str:
        """The short name of a spec in the manifest; the spec itself where it has none."""
        return self._short.get(spec, spec)

    def attack(self, spec: str) -> str:
        """What stands for an attack in columns and lists: its optimizer, objective, and what differs."""
        return self._attacks.get(spec, self.short(spec))

    def brief(self, spec: str) -> str:
        """The short name without the parameters that all data sets or backbones of the run share."""
        name = self.short(spec)
        return self._brief.get(name, name)

    def sentence(self, text: str) -> str:
        """A sentence with the short names in place of the specs that it holds, and without other paths."""
        for spec in self._longest_first:
            text = text.replace(spec, self._short[spec])
        return sentence_without_folders(text)

    def setting(self, *specs: str) -> list[str]:
        """The short names of the parts of a setting, without those that do not apply."""
        return [self.short(spec) for spec in specs if spec != NOT_TRAINED]


def _numbered(specs: Iterable[str], short_names: dict[str, str]) -> dict[str, str]:
    """The short names of specs of one kind, with a number where several read alike.

    Names that differ only in their Unicode form read alike. The first that has no short name keeps its own.
    """
    sharing: dict[str, list[str]] = defaultdict(list)
    for spec in sorted(specs):
        sharing[normalize("NFKC", short_names.get(spec, spec))].append(spec)
    found = {}
    for group in sharing.values():
        kept = next((spec for spec in group if spec not in short_names), None)
        for number, spec in enumerate(group, 1):
            if spec != kept:
                name = short_names.get(spec, spec)
                found[spec] = name if len(group) == 1 else f"{name} ({number})"
    return found
