"""What the lines of several tables of a run differ in: data set, backbone, loss, norm, eps, compute mode."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from benchmark.report.cell_results import CellResult, Run
from benchmark.report.display_names import NOT_TRAINED, DisplayNames
from benchmark.report.page.grid import Column, Value, number, one_line, plain
from benchmark.report.style import NORMS, UNITS, format_eps
from benchmark.report.tables import Table, mode_words

TITLES = {
    "dataset": "data set",
    "backbone": "backbone",
    "loss": "loss",
    "norm": "norm",
    "eps": "eps",
    "compute": "compute",
}
"""The parts of a setting, by the names of their filters."""
CLEAN = "none"


@dataclass(frozen=True)
class Setting:
    """The setting of a line; parts that do not apply are None."""

    dataset: str | None
    backbone: str | None
    loss: str | None
    norm: str | None
    eps: float | None
    compute: str | None

    def value(self, name: str) -> Value:
        """One part as a value of a table."""
        if name == "eps" and self.eps is not None:
            return number(self.shown(name), self.eps)
        return plain(self.shown(name))

    def shown(self, name: str) -> str:
        """One part as readers see it; empty where it does not apply."""
        part = getattr(self, name)
        if part is None:
            return ""
        if name == "eps":
            return f"{format_eps(part)}{UNITS.get(self.norm or '', '')}"
        return NORMS.get(part, part) if name == "norm" else one_line(part)

    @property
    def fixed(self) -> dict[str, str]:
        """All parts that apply, as readers see them."""
        return {name: self.shown(name) for name in TITLES if getattr(self, name) is not None}


def of_table(table: Table) -> Setting:
    """The setting of a table."""
    key = table.key
    return _setting(table.names, key.dataset, key.backbone, key.loss, key.norm, key.eps, key.compute)


def of_cell(run: Run, cell: CellResult) -> Setting:
    """The setting of a cell; clean ones have no norm and no eps."""
    key = cell.key
    return _setting(run.names, key.dataset, key.backbone, key.loss, key.norm, key.eps, cell.compute)


def _setting(
    names: DisplayNames, dataset: str, backbone: str, loss: str, norm: str, eps: float, compute: str
) -> Setting:
    return Setting(
        names.brief(dataset),
        None if backbone == NOT_TRAINED else names.brief(backbone),
        None if loss == NOT_TRAINED else names.short(loss),
        None if norm == CLEAN else norm,
        None if norm == CLEAN else eps,
        None if compute == NOT_TRAINED else mode_words(compute),
    )


def differing(settings: Iterable[Setting]) -> list[str]:
    """The parts that are not the same in all of some settings, by the names of their filters."""
    found = list(settings)
    return [name for name in TITLES if len({getattr(one, name) for one in found}) > 1]


def columns(names: Iterable[str]) -> list[Column]:
    """The columns of some parts."""
    return [Column(TITLES[name], name, numeric=name == "eps") for name in names]
