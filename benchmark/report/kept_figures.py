"""Figures of an earlier report that need not be drawn again, because nothing changed that they show."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Collection, Mapping
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmark.core.files import content_digest, stamp
from benchmark.core.source import SOURCE_DIGEST
from benchmark.records import ModelKey
from benchmark.records.figures import FiguresRecord
from benchmark.report.cell_results import CellResult, Run
from benchmark.report.rows import Row
from benchmark.report.style import svg_of
from benchmark.report.tables import Table

_LIBRARIES = ("matplotlib", "numpy", "openTSNE")
_OF_MANIFEST = {
    "compute",
    "suite",
    "references",
    "checks",
    "whole_range",
    "own_models",
    "unranked",
    "plugins",
}
"""What figures may show of the grid beside its cells."""


class FigureInputs:
    """Hashes what figures are drawn from: names, records, the source and versions of libraries.

    Of the files of cells, which are many or large and are never written twice with other content, size and
    time of writing are hashed.

    Args:
        run: the run.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        keys = [cell.key for cell in run.cells]
        self._common = _hash(
            {
                "source": SOURCE_DIGEST,
                "libraries": [version(name) for name in _LIBRARIES],
                "manifest": run.manifest.model_dump(mode="json", include={*_OF_MANIFEST, "short_names"}),
                # Names are abbreviated, and styles assigned, in view of all others.
                "names": {
                    kind: sorted({str(getattr(key, kind)) for key in keys})
                    for kind in (*(ModelKey.model_fields.keys() - {"seed"}), "attack")
                },
            }
        )
        # By identity: tables hold the cells of the run, and to hash a record's fields takes longer.
        self._cells = {id(cell): self._cell(cell) for cell in run.cells}
        self._settings: dict[tuple[str, str, str, str], str] = {}
        self._rows: dict[int, tuple[Row, str]] = {}

    def of(self, table: Table, row: Row | None = None, over_budgets: bool = False) -> str:
        """Hashes what a figure of a table is drawn from.

        Args:
            table: the table.
            row: the only row that it shows; all if not given.
            over_budgets: whether it also shows cells of other tables of the setting.
        """
        shown = {
            "common": self._common,
            "table": [*dataclasses.astuple(table.key), table.heading, table.suite, table.lead],
            "rows": [self._row(one) for one in (table.rows if row is None else [row])],
            "over budgets": self._setting(table.key.setting) if over_budgets else "",
        }
        return _hash(shown)

    def _setting(self, setting: tuple[str, str, str, str]) -> str:
        if setting not in self._settings:
            cells = self._run.of_setting(*setting)
            self._settings[setting] = _hash([self._cells[id(cell)] for cell in cells])
        return self._settings[setting]

    def _row(self, row: Row) -> str:
        if id(row) not in self._rows:
            self._rows[id(row)] = row, _hash(self._described(row))  # held, so that no other gets its identity
        return self._rows[id(row)][1]

    def _described(self, row: Row) -> list[Any]:
        checks = {name: dataclasses.asdict(check) for name, check in row.checks.items()}
        models = [model.model_dump(mode="json", exclude={"provenance"}) for model in row.models]
        about = [row.defense, row.name, row.reference, row.source, row.unranked, row.embed_cost]
        cells = [self._cells[id(cell)] for cell in row.cells]
        return [*about, row.rank, row.rank_low, row.rank_high, checks, models, cells]

    def _cell(self, cell: CellResult) -> str:
        run, ref = self._run, cell.ref
        stamps = [run.record_stamp(cell), run.arrays_stamp(cell), stamp(run.images(cell))]
        about = [ref.id, ref.role, ref.compute, list(dict(ref.key).values()), cell.status, cell.reason]
        return _hash([*about, *stamps])


def kept_figures(run: Run, inputs: Mapping[Path, str]) -> dict[Path, bool]:
    """Finds the figures of an earlier report that were drawn from the same, and are unchanged.

    Args:
        run: the run.
        inputs: hash of what each would be drawn from now, by its path.

    Returns:
        Those that need not be drawn, and whether there is a file; there is none where nothing was to draw.
    """
    record = run.figures()
    if record is None:
        return {}
    same = [path for path, digest in inputs.items() if record.inputs.get(path.name) == digest]
    return {path: path.name in record.files for path in same if _is_unchanged(path, record.files)}


def _is_unchanged(path: Path, files: Mapping[str, str]) -> bool:
    """Whether a figure's PNG and SVG are those that were drawn, if any were."""
    return path.name not in files or all(_digest(one) == files.get(one.name) for one in (path, svg_of(path)))


def kept_alt_texts(run: Run, kept: Mapping[Path, bool]) -> dict[Path, str]:
    """Finds the alternative texts of the figures of an earlier report that there are.

    Args:
        run: the run.
        kept: what `kept_figures` found.
    """
    record = run.figures()
    texts = {} if record is None else record.alt_texts
    return {path: texts.get(path.name, "") for path, there in kept.items() if there}


def note_figures(
    run: Run, inputs: Mapping[Path, str], failed: Collection[Path], alt_texts: Mapping[Path, str]
) -> None:
    """Records what figures were drawn from and say, but for those that failed, which are tried again."""
    done = {path: digest for path, digest in inputs.items() if path not in failed}
    both = [one for path in done for one in (path, svg_of(path))]
    files = {path.name: digest for path in both if (digest := _digest(path)) is not None}
    texts = {path.name: text for path, text in alt_texts.items()}
    drawn_from = {path.name: digest for path, digest in done.items()}
    run.save_figures(FiguresRecord(inputs=drawn_from, files=files, alt_texts=texts))


def _digest(path: Path) -> str | None:
    try:
        return content_digest(path)
    except OSError:  # there is none, or it was deleted
        return None


def _hash(described: Any) -> str:
    return sha256(json.dumps(described, sort_keys=True, default=str).encode()).hexdigest()
