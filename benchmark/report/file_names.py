"""The parts of figures' file names that tell tables and their models apart."""

from __future__ import annotations

from benchmark.report.display_names import NOT_TRAINED
from benchmark.report.style import format_eps, slug
from benchmark.report.tables import Table

UNNAMED_MODES = ("equal-epochs", NOT_TRAINED)
"""The compute modes that file names leave out."""


def table_slug(table: Table) -> str:
    """The part of file names that tells a table from the others."""
    key = table.key
    parts = table.names.setting(key.dataset, key.backbone, key.loss)
    return slug(*parts, key.norm, format_eps(key.eps), *_mode(table))


def trained_slug(table: Table) -> str:
    """The part of file names that tells the models of a table from those of others."""
    key = table.key
    return slug(*table.names.setting(key.dataset, key.backbone, key.loss), *_mode(table))


def _mode(table: Table) -> list[str]:
    return [] if table.key.compute in UNNAMED_MODES else [table.key.compute]
