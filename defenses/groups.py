"""Names of several defenses, and which defense is the control of which."""

from __future__ import annotations

from defenses.base import DEFENSES

ALL = ("vanilla", "pgd_at", "trades", "adp", "mixup", "random_transforms", "eat")
"""The defenses that `--defenses all` selects."""

CONTROLS: dict[str, tuple[str, ...]] = {"ensemble": ("adp",), "ensemble_at": ("eat",)}
"""Defenses that are controls of others, and of which: the same cost without what the others add."""

GROUPS: dict[str, tuple[str, ...]] = {
    "all": ALL,
    "controls": tuple(CONTROLS),
    "dml": ("est", "act", "hm", "panum", "ca_tride", "center_at", "metric_preserving", "fare"),
}
"""Names that select several defenses on the command line."""

DEFENSES.add_meaning(lambda name: "a group of defenses" if name in GROUPS else "")
