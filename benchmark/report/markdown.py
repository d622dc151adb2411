"""Writes the page `leaderboard.md`, from the records of the run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from math import isnan
from pathlib import Path
from typing import Any

from benchmark.core.display_names import command_without_folders, without_folders
from benchmark.core.spec import parse_spec, split_list
from benchmark.report.ablation import Ablation, ablation
from benchmark.report.attack_legend import attack_parts
from benchmark.report.attacked_images import RowImages
from benchmark.report.boards import attacks_board, checks_at_zero, checks_board, details_board, main_board
from benchmark.report.cell_results import CLUSTERING, RETRIEVAL, CellResult, Run
from benchmark.report.checks import NOT_RUN, with_status
from benchmark.report.conclusion import UNDEFENDED
from benchmark.report.display_names import NOT_TRAINED
from benchmark.report.escapes import code, text
from benchmark.report.figures import TableFigures
from benchmark.report.marks import marks_legend
from benchmark.report.notes import running_note
from benchmark.report.other_scenarios import scenarios_board
from benchmark.report.pools import classes_sentence, pools
from benchmark.report.ranking_board import ranking_lines
from benchmark.report.reproduce import checkout, command
from benchmark.report.rows import Row
from benchmark.report.standing import METRICS
from benchmark.report.style import budget
from benchmark.report.tables import Table, mode_words
from benchmark.report.templates import fill, said_of_run, said_of_table

TEMPLATE = Path(__file__).with_name("leaderboard.md.jinja")
SMALL_POOL = 10_000
SCORED_OTHERS = {
    "retrieval-gallery": "retrieval from an attacked gallery (R@1)",
    "verification": "verification (TAR at a FAR, EER)",
}


def render(
    run: Run,
    tables: list[Table],
    figures: list[TableFigures],
    output: Path,
    images: Sequence[RowImages] = (),
    failures: Iterable[tuple[str, str]] = (),
) -> str:
    """Fills the template.

    Args:
        run: the run.
        tables: its tables, ranked.
        figures: the figures of each table.
        output: the folder of the page, which links are relative to.
        images: the attacked images of rows.
        failures: pictures that could not be drawn, and why.
    """
    filters: dict[str, Callable[..., str]] = {
        "short": run.names.short,
        "brief": run.names.brief,
        "attack": run.names.attack,
        "code": code,
        "text": text,
        "link": lambda path: path.relative_to(output).as_posix(),
    }
    values = {**_context(run, tables, figures), "images": images, "failures": list(failures)}
    return fill(TEMPLATE, filters, values, html=False)


def _context(run: Run, tables: list[Table], figures: list[TableFigures]) -> dict[str, Any]:
    manifest, cells = run.manifest, run.table_cells
    rows = [row for table in tables for row in table.rows]
    keys = [cell.key for cell in cells]
    by_role = {role: [cell for cell in cells if cell.ref.role == role] for role in ("suite", "curve")}
    attacks, curve_attacks = (_attacks(run, by_role[role]) for role in ("suite", "curve"))
    names = sorted({key.defense for key in keys}, key=run.names.short)
    own_models = [name for name in names if name in manifest.own_models]
    references = [name for name in names if name in manifest.references]
    defenses = [name for name in names if name not in {*own_models, *references}]
    named = set(split_list(manifest.suite))
    found = pools(run)
    scenarios = {key.scenario for key in keys}
    bases = {parse_spec(scenario).name for scenario in scenarios}
    return {
        **said_of_run(run, tables),
        "manifest": manifest,
        "describe": lambda spec: manifest.descriptions.get(spec, ""),
        "budget": budget,
        "modes": [mode for mode in manifest.compute if mode in {cell.compute for cell in cells}],
        "mode_words": mode_words,
        "sections": [_section(run, table, drawn) for table, drawn in zip(tables, figures, strict=True)],
        "scenarios": scenarios,
        "scored_others": "; ".join(title for name, title in SCORED_OTHERS.items() if name in bases),
        "others": sorted(scenarios - {CLUSTERING, RETRIEVAL}),
        "pools": found,
        "classes_sentence": classes_sentence(run, found, bool(defenses)),
        "all_classes": bool(found) and all(pool.every_class for pool in found),
        "backbones": sorted({key.backbone for key in keys} - {NOT_TRAINED}, key=run.names.short),
        "losses": sorted({key.loss for key in keys} - {NOT_TRAINED}, key=run.names.short),
        "defenses": defenses,
        "ways": _ways(run, defenses),
        "own_models": own_models,
        "references": references,
        "bases": {parse_spec(name).name for name in defenses},
        "randomised": any(row.randomised for row in rows),
        "attacks": attacks,
        "suite": manifest.suite if named.isdisjoint(map(run.names.short, attacks)) else "",
        "budgets": _budgets(by_role["suite"]),
        "curve_attacks": curve_attacks,
        "curve_budgets": _budgets(by_role["curve"]),
        "seeds": sorted({key.seed for key in keys}),
        "epochs": _epochs(run),
        "eot": (manifest.config.get("evaluation") or {}).get("eot"),
        "precision": manifest.config.get("attack_precision", "float32"),
        "own_seeds": sorted({key.seed for key in keys if key.defense in own_models}),
        "attack_parts": attack_parts(run),
        "checkout": checkout(run, [_example(table) for table in _first_of_modes(tables)]),
        "done": _distinct(cell for cell in cells if cell.done),
        "total": _distinct(cells),
        "checking_attacks": _attacks(run, run.check_cells),
        "checking_budgets": _budgets(run.check_cells),
        "checking_done": _distinct(cell for cell in run.check_cells if cell.done),
        "checking_total": _distinct(run.check_cells),
        "trainings": [
            (drawn.training, drawn.alt(drawn.training)) for drawn in figures if drawn.training is not None
        ],
        "command": command_without_folders(manifest.command),
        "merged": [command_without_folders(one) for one in manifest.merged],
        "examples": _examples(run, tables),
        "paths": any(without_folders(spec) != spec for spec in manifest.short_names),
        "ranking": ranking_lines(run),
        "checked": any(map(_was_checked, rows)),
        "unchecked": any(with_status(row.checks, NOT_RUN) for row in rows),
        "intervals": any(row.rank_low is not None for row in rows),
        "overlapping": any(row.rank_low != row.rank_high for row in rows),
        "small_pools": SMALL_POOL,
    }


def _section(run: Run, table: Table, figures: TableFigures) -> dict[str, Any]:
    measures = [name for scenario, _, name in METRICS if table.has(scenario)]
    lead = table.lead
    checked = any(map(_was_checked, table.rows))
    return {
        **said_of_table(run, table),
        "table": table,
        "figures": figures,
        "failing": any(row.failing for row in table.rows),
        "checks": checks_board(table, run.manifest.checks) if lead and checked else [],
        "at_zero": checks_at_zero(table, run.manifest.checks) if lead and checked else [],
        "checked": checked,
        "board": main_board(table),
        "details": details_board(table),
        "legend": marks_legend(table.rows),
        "trained": any(row.trained for row in table.rows),
        "running_note": running_note(table.rows),
        "cascaded": any(cell.follows_others for row in table.rows for cell in row.cells),
        "alone": attacks_board(table) if lead and measures else [],
        "ablation": ablation(run, table) if lead else Ablation(),
        "other_scenarios": scenarios_board(table) if lead else [],
        "measures": " / ".join(measures),
        "deviations": any(
            not isnan(row.std(f"clean_{metric}")) for row in table.rows for _, metric, _ in METRICS
        ),
        "several": any(row.n_seeds > 1 for row in table.rows),
        "intervals": any(row.rank_low is not None for row in table.rows),
    }


def _epochs(run: Run) -> str:
    """The epochs of the recipes, which may depend on the data set; empty where nothing is trained."""
    untrained = {*run.manifest.references, *run.manifest.own_models}
    recipes = [record.recipe for record in run.models.values() if record.key.defense not in untrained]
    return " or ".join(map(str, sorted({recipe["epochs"] for recipe in recipes if recipe})))


def _attacks(run: Run, cells: Iterable[CellResult]) -> list[str]:
    return sorted({cell.key.attack for cell in cells}, key=run.names.attack)


def _ways(run: Run, defenses: list[str]) -> str:
    """How models were trained, as in "trained with 6 defenses and without one (`vanilla`)"."""
    plain = [name for name in defenses if parse_spec(name).name == UNDEFENDED]
    count = len(defenses) - len(plain)
    ways = [f"with {count} defense{'s' if count > 1 else ''}"] if count else []
    if plain:
        names = ", ".join(code(run.names.short(name)) for name in plain)
        ways.append(f"without {'one' if count else 'a defense'} ({names})")
    return f"trained {' and '.join(ways)}" if ways else "that need no training"


def _distinct(cells: Iterable[CellResult]) -> int:
    """Counts cells, each once even if several compute modes show it."""
    return len({cell.ref.id for cell in cells})


def _examples(run: Run, tables: list[Table]) -> list[str]:
    """The commands that reproduce a row of the first table of each compute mode."""
    return [command(run.manifest, table, _example(table)) for table in _first_of_modes(tables)]


def _first_of_modes(tables: list[Table]) -> list[Table]:
    first: dict[str, Table] = {}
    for table in tables:
        first.setdefault(table.key.compute, table)
    return list(first.values())


def _was_checked(row: Row) -> bool:
    return bool(with_status(row.checks, "pass") or row.failing)


def _example(table: Table) -> Row:
    """The row that the page shows how to reproduce: the first that was trained, else the first of all."""
    return next((row for row in table.rows if row.trained), table.rows[0])


def _budgets(cells: list[CellResult]) -> list[str]:
    pairs = sorted({(cell.key.norm, cell.key.eps) for cell in cells})
    return [budget(norm, eps) for norm, eps in pairs]
