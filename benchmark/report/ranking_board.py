"""The board of the scenario `ranking`: robrank's ten measures, the score of these, and measures beside it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from math import isnan, nan
from typing import Any

import pandas as pd

from benchmark.core.spec import format_spec, parse_spec
from benchmark.report.boards import percent
from benchmark.report.cell_results import RETRIEVAL, CellResult, Run
from benchmark.report.csv_files import DECIMALS
from benchmark.report.display_names import NOT_TRAINED
from benchmark.report.ers import NORMALIZED, empirical_robustness_score
from benchmark.report.escapes import NONE, code
from benchmark.report.sources import mark, source
from benchmark.report.style import budget
from benchmark.report.worst_case import mean

CONSTANT = "constant embedding"
PUBLISHED = "_published"
GROUP_COLUMNS = ["dataset", "backbone", "loss", "norm", "eps", "attack", "compute"]
RANKING_COLUMNS = [
    *GROUP_COLUMNS, "defense", "n_seeds", "clean_r1", *NORMALIZED, "ers", "ers_published_ties", "ers_seeds"
]  # fmt: skip
HEADS = {
    "ca_plus": "CA+ \u2191", "ca_minus": "CA- \u2193", "qa_plus": "QA+ \u2191", "qa_minus": "QA- \u2193",
    "tma": "TMA \u2193", "es_d": "ES:D \u2193", "es_r1": "ES:R@1 \u2191", "ltm_r1": "LTM \u2191",
    "gtm_r1": "GTM \u2191", "gtt": "GTT \u2191",
}  # fmt: skip
BESIDE = {"order_src": "OA:SRC \u2193", "hub_top1": "hub@1 \u2193"}
"""Measures that are not in the score, shown where they were asked for."""

PLAIN = {"tma": "cosine", "es_d": "distance", "order_src": "correlation"}
"""Measures that are not percentages."""


LEGEND = (
    "Ranks, recalls and ERS in percent, TMA a cosine, ES:D a distance; arrows point to the robust side. "
    "Ties count against the model; in brackets the ERS with ties as in robrank's code, where that differs."
)
LEGEND_BESIDE = "OA:SRC, a rank correlation in [-1, 1], and hub@1, in percent, are not in the ERS."


@dataclass(frozen=True, order=True)
class Group:
    """The setting that all rows of one board share; `attack` is robrank's spec without the measure."""

    dataset: str
    backbone: str
    loss: str
    norm: str
    eps: float
    attack: str
    compute: str


@dataclass(frozen=True)
class RankingRow:
    """A defense's measures, means over the seeds.

    Attributes:
        defense: its spec, or CONSTANT.
        n_seeds: seeds with at least one measure; None for the constant embedding.
        clean_r1: clean Recall@1, nan where the grid has none.
        measures: the ten, by name; nan where there is none.
        beside: those beside the score, by name; nan where there is none.
        ers: the score as a fraction, ties counted against the model; mean over the seeds with all ten.
        ers_published: the same with ties treated as in robrank's code.
        ers_seeds: seeds that the scores are of; None for the constant embedding.
    """

    defense: str
    n_seeds: int | None
    clean_r1: float
    measures: dict[str, float]
    beside: dict[str, float]
    ers: float
    ers_published: float
    ers_seeds: int | None


def ranking_boards(run: Run) -> dict[Group, list[RankingRow]]:
    """Computes the rows of each board, by descending ERS, with a constant embedding last."""
    cells: dict[Group, list[CellResult]] = defaultdict(list)
    for cell in run.ranking_cells:
        cells[_group(cell)].append(cell)

    def order(group: Group) -> tuple[str, str, Group]:
        return run.names.short(group.dataset), run.names.short(group.backbone), group

    return {group: _rows(run, group, cells[group]) for group in sorted(cells, key=order)}


def ranking_frame(run: Run) -> pd.DataFrame:
    """Builds `ranking.csv`: one row for each defense of each board, as fractions, cosines and distances."""
    boards = ranking_boards(run)
    beside = _asked_beside(row for board in boards.values() for row in board)
    rows = [
        {
            **vars(group),
            **{name: run.names.short(getattr(group, name)) for name in ("dataset", "backbone", "loss")},
            "attack": run.names.sentence(group.attack),
            **_csv(run, row),
        }
        for group, board in boards.items()
        for row in board
    ]
    frame = pd.DataFrame(rows, columns=[*RANKING_COLUMNS, *beside])
    for name in ("n_seeds", "ers_seeds"):
        frame[name] = frame[name].astype("Int64")
    return frame


def ranking_lines(run: Run) -> list[str]:
    """Writes the boards of the lead compute mode as Markdown, each under a line that names it."""
    lines: list[str] = []
    for group, rows in ranking_boards(run).items():
        if group.compute != run.lead:
            continue
        names = [run.names.brief(group.dataset)]
        names += [run.names.brief(spec) for spec in (group.backbone,) if spec != NOT_TRAINED]
        names += [*run.names.setting(group.loss), run.names.sentence(group.attack)]
        lines += [f"{', '.join(map(code, names))}, {budget(group.norm, group.eps)}:", ""]
        lines += [*_table(run, rows), ""]
    legend = (
        f"{LEGEND} {LEGEND_BESIDE}"
        if any(BESIDE[name] in line for line in lines for name in BESIDE)
        else LEGEND
    )
    return [*lines, legend] if lines else []


def _asked_beside(rows: Iterable[RankingRow]) -> list[str]:
    """The measures beside the score that some row has."""
    found = {name for row in rows for name, value in row.beside.items() if not isnan(value)}
    return [name for name in BESIDE if name in found]


def _group(cell: CellResult) -> Group:
    key, spec = cell.key, parse_spec(cell.key.attack)
    settings = {name: value for name, value in spec.parameters.items() if name != "measure"}
    if measure := spec.parameters.get("measure"):
        settings |= parse_spec(measure).parameters
    attack = format_spec(spec.name, settings)
    return Group(key.dataset, key.backbone, key.loss, key.norm, key.eps, attack, cell.compute)


def _rows(run: Run, group: Group, cells: list[CellResult]) -> list[RankingRow]:
    by_defense: dict[str, list[CellResult]] = defaultdict(list)
    for cell in cells:
        by_defense[cell.key.defense].append(cell)
    rows = []
    for defense, own in sorted(by_defense.items()):
        seeds = len({cell.key.seed for cell in own if cell.done})
        rows.append(_row(defense, own, seeds, _clean_r1(run, group, defense)))
    rows.sort(key=lambda row: (isnan(row.ers), -row.ers if not isnan(row.ers) else 0.0, row.defense))
    return [*rows, _row(CONSTANT, cells, None, nan, "constant_")]


def _row(
    defense: str, cells: list[CellResult], seeds: int | None, clean_r1: float, prefix: str = ""
) -> RankingRow:
    measures = {name: _mean(cells, prefix + name) for name in NORMALIZED}
    beside = {name: _mean(cells, prefix + name) for name in BESIDE}
    models: dict[tuple[str, int], list[CellResult]] = defaultdict(list)
    for cell in cells:
        models[cell.key.defense, cell.key.seed].append(cell)
    # Measures of different seeds would not be the score of any model.
    scores = [pair for pair in (_scores(own, prefix) for own in models.values()) if not isnan(pair[0])]
    ers, published = (mean(pair[i] for pair in scores) for i in (0, 1))
    complete = None if seeds is None else len(scores)
    return RankingRow(defense, seeds, clean_r1, measures, beside, ers, published, complete)


def _scores(cells: list[CellResult], prefix: str) -> tuple[float, float]:
    """One model's score, and the same with ties as published; nan where a measure is missing."""
    measures = {name: _mean(cells, prefix + name) for name in NORMALIZED}
    published = {name: _mean(cells, prefix + name + PUBLISHED) for name in NORMALIZED}
    # Cosines and distances have no ties, so they have no second value.
    published |= {name: measures[name] for name in PLAIN if name in NORMALIZED}
    return empirical_robustness_score(measures), empirical_robustness_score(published)


def _mean(cells: Iterable[CellResult], metric: str) -> float:
    return mean(cell.metric(metric) for cell in cells)


def _clean_r1(run: Run, group: Group, defense: str) -> float:
    return mean(
        cell.metric("r1")
        for cell in run.table_cells
        if cell.ref.role == "clean"
        and cell.key.scenario == RETRIEVAL
        and cell.key.defense == defense
        and (cell.key.dataset, cell.key.backbone, cell.key.loss, cell.compute)
        == (group.dataset, group.backbone, group.loss, group.compute)
    )


def _csv(run: Run, row: RankingRow) -> dict[str, Any]:
    numbers = {
        "clean_r1": row.clean_r1, **row.measures, "ers": row.ers, "ers_published_ties": row.ers_published,
        **row.beside,
    }  # fmt: skip
    rounded = {name: round(value, DECIMALS) for name, value in numbers.items()}
    return {
        "defense": run.names.short(row.defense),
        "n_seeds": row.n_seeds,
        **rounded,
        "ers_seeds": row.ers_seeds,
    }


def _table(run: Run, rows: list[RankingRow]) -> list[str]:
    own = any(row.defense in run.manifest.own_models for row in rows)
    beside = _asked_beside(rows)
    scored = not beside or any(not isnan(value) for row in rows for value in row.measures.values())
    heads = ["model" if own else "defense", "clean R@1"]
    heads += [*HEADS.values(), "ERS \u2191"] if scored else []
    heads += [BESIDE[name] for name in beside]
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)]]
    for row in rows:
        name = f"*{row.defense}*" if row.n_seeds is None else _named(run, row.defense)
        shown = [*[_shown(name, row.measures[name]) for name in HEADS], _score(row)] if scored else []
        shown += [_shown(name, row.beside[name]) for name in beside]
        lines.append([name, percent(row.clean_r1), *shown])
    return [f"| {' | '.join(line)} |" for line in lines]


def _named(run: Run, defense: str) -> str:
    name, of = code(run.names.short(defense)), source(run.manifest, defense)
    return f"{name} *{mark(of)}*" if of else name


def _shown(name: str, value: float) -> str:
    if name not in PLAIN:
        return percent(value)
    return NONE if isnan(value) else f"{value:.3f}"


def _score(row: RankingRow) -> str:
    score, published = percent(row.ers), percent(row.ers_published)
    if score == NONE:
        return NONE
    shown = f"**{score}**" if score == published else f"**{score}** ({published})"
    return shown if row.ers_seeds == row.n_seeds else f"{shown}, {row.ers_seeds} of {row.n_seeds} seeds"
