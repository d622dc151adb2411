"""The leaderboard of the page, and the table of what else is known of its rows: all tables in one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import isnan, nan

from benchmark.report.boards import percent, rank_text, times
from benchmark.report.cell_results import CLUSTERING, RETRIEVAL, CellResult
from benchmark.report.checks import told
from benchmark.report.escapes import NONE
from benchmark.report.page import row_labels
from benchmark.report.page.grid import Column, Grid, Line, Value, exact, number, one_line, spec
from benchmark.report.page.settings import columns as setting_columns
from benchmark.report.page.settings import differing, of_table
from benchmark.report.rows import Row, SeedScores
from benchmark.report.style import METRICS, budget
from benchmark.report.tables import Table

Part = tuple[Column, Callable[[Table, Row], Value]]
"""A column, and what a row has in it."""
SCENARIOS = ((CLUSTERING, "ami"), (RETRIEVAL, "r1"))
"""In the order of `leaderboard.md`: rows are ranked by AMI."""
MEANINGS = {
    "r1": "Fraction of queries whose most similar other image is of their class.",
    "ami": "Agreement of k-means clusters and classes: 0 for random clusters, 100 for perfect ones.",
    "nmi": "As AMI, but random clusters score far above 0: read it only beside AMI.",
}


def leaderboard(tables: Sequence[Table]) -> Grid:
    """Builds the table that rows are ranked in."""
    parts: list[Part] = [
        (Column("rank", numeric=True, hint="With its 95 % interval in parentheses."), _rank),
        *_names(tables),
    ]
    for scenario, metric in SCENARIOS:
        if any(table.has(scenario) for table in tables):
            parts += [_score("clean", metric, scenario), _score("worst", metric, scenario)]
    parts += [
        _train_cost() if _trained(tables) else _embed_cost(),
        (Column("checks", hint="Signs that attacks failed for another reason than robustness."), _checks),
    ]
    return _grid("board", "Clean and worst-case scores of each row, in percent", tables, parts, heads=1)


def details(tables: Sequence[Table]) -> Grid:
    """Builds the table of what else is known of each row."""
    parts: list[Part] = list(_names(tables))
    if any(table.has(CLUSTERING) for table in tables):
        parts += [_score("clean", "nmi", CLUSTERING), _score("worst", "nmi", CLUSTERING)]
    parts += [
        _worst_attack(scenario, metric)
        for scenario, metric in SCENARIOS
        if any(table.has(scenario) for table in tables)
    ]
    parts += [
        (Column("epochs", numeric=True, hint="Trained; in parentheses the epoch that was kept."), _epochs),
        *([_embed_cost()] if _trained(tables) else []),
        (Column("seeds", numeric=True), lambda _, row: Value(str(row.n_seeds), row.n_seeds)),
        (Column("failed cells", numeric=True, first="descending"), _failed),
    ]
    return _grid("details", "NMI, the single worst attacks, trainings and costs of each row", tables, parts)


def _grid(id_: str, caption: str, tables: Sequence[Table], parts: list[Part], heads: int = 0) -> Grid:
    lines = [
        Line([value(table, row) for _, value in parts], row_labels.labels(row))
        for table in tables
        for row in table.rows
    ]
    settings = [of_table(table) for table in tables]
    various = differing(settings)
    shared = {name: text for name, text in settings[0].fixed.items() if name not in various}
    return Grid(id_, caption, [column for column, _ in parts], lines, heads, shared)


def _names(tables: Sequence[Table]) -> Iterator[Part]:
    noun = "model" if any(table.own_models for table in tables) else "defense"
    yield Column(noun), lambda _, row: row_labels.name(row)
    for column in setting_columns(differing(map(of_table, tables))):
        yield column, lambda table, _, name=column.name: of_table(table).value(name)  # type: ignore[misc]


def _rank(_: Table, row: Row) -> Value:
    detail = f"no rank: {one_line(row.unranked)}" if row.unranked else ""
    return Value(rank_text(row), nan if row.rank is None else row.rank, detail)


def _score(kind: str, metric: str, scenario: str) -> Part:
    title = f"{kind} {METRICS[metric]}"
    column = Column(
        title, numeric=True, first="descending", scenario=scenario, hint=f"{MEANINGS[metric]} In percent."
    )

    def value(table: Table, row: Row) -> Value:
        mean, field = row.mean(f"{kind}_{metric}"), f"{kind}_{metric}"
        lines = [f"{title}: {exact(mean)}"]
        if not isnan(row.std(field)):
            lines[0] += f" \u00b1 {exact(row.std(field))} (standard deviation over seeds)"
        lines += [_seed(table, row, seed, kind, metric) for seed in row.seeds]
        worst = kind == "worst" and metric != "nmi"
        return number(
            percent(mean, row.std(field)),
            mean,
            "\n".join(lines),
            bar=mean if worst else nan,
            strong=worst,
        )

    return column, value


def _seed(table: Table, row: Row, seed: SeedScores, kind: str, metric: str) -> str:
    """Says what a metric of one seed is, and which cells it is from."""
    value = getattr(seed, f"{kind}_{metric}")
    if isnan(value):
        return f"seed {seed.seed}: none"
    scenario = RETRIEVAL if metric == "r1" else CLUSTERING
    if kind == "clean":
        clean = [cell for cell in row.of_budget if cell.ref.role == "clean" and cell.key.scenario == scenario]
        cells = [cell for cell in clean if cell.key.seed == seed.seed]
        source = ", ".join(map(record, cells))
    elif metric == "r1":
        source = f"each query in the worst of {len(row.retrieval_cells(seed.seed))} cells"
    elif metric == "ami" and seed.worst_cell is not None:
        source = f"{attack(table, seed.worst_cell)}, {record(seed.worst_cell)}"
    else:
        source = "the lowest of all attacks"
    return f"seed {seed.seed}: {exact(value)}, {source}"


def attack(table: Table, cell: CellResult) -> str:
    """A cell's attack with its budget; "clean" for a clean cell."""
    if cell.ref.role == "clean":
        return "clean"
    return f"{one_line(table.names.short(cell.key.attack))} at {budget(cell.key.norm, cell.key.eps)}"


def record(cell: CellResult) -> str:
    """The path of a cell's record in the output folder."""
    return f"store/cells/{cell.ref.id}.json"


def _trained(tables: Sequence[Table]) -> bool:
    """Whether the cost that the leaderboard shows is of training: else no row has one."""
    return any(row.trained for table in tables for row in table.rows) or not any(
        table.own_models for table in tables
    )


def _train_cost() -> Part:
    def value(_: Table, row: Row) -> Value:
        cost = row.training("relative_cost")
        lines = [f"train cost: {exact(cost)}"]
        for model in row.models:
            if model.status == "done":
                made = f"{model.seconds:.1f} s, store/models/{model.id}.json"
                lines.append(f"seed {model.key.seed}: {exact(model.relative_cost)}, {made}")
        return number(times(cost), cost, "\n".join(lines))

    hint = "A multiple of the cost of vanilla training."
    return Column("train cost \u00d7", numeric=True, hint=hint), value


def _embed_cost() -> Part:
    def value(_: Table, row: Row) -> Value:
        return number(times(row.embed_cost), row.embed_cost, f"embed cost: {exact(row.embed_cost)}")

    return Column("embed cost \u00d7", numeric=True, hint="The cost of embedding an image."), value


def _checks(_: Table, row: Row) -> Value:
    lines = [
        f"{name}: {check.status}{f', {exact(check.value)}' if check.value is not None else ''}"
        f"{f' ({one_line(check.explanation)})' if check.status != 'pass' and check.explanation else ''}"
        for name, check in row.checks.items()
    ]
    return Value(
        f"fails {', '.join(row.failing)}" if row.failing else told(row.checks),
        detail="\n".join(lines),
        strong=bool(row.failing),
    )


def _worst_attack(scenario: str, metric: str) -> Part:
    column = Column(f"worst attack, {METRICS[metric]}", scenario=scenario)

    def value(table: Table, row: Row) -> Value:
        worst = row.worst_attack(scenario, metric)
        alone = row.standalone(scenario, metric).get(worst, nan)
        cells = row.attacked(scenario).get(worst, [])
        lines = [one_line(table.names.short(worst))]
        lines += [f"{METRICS[metric]} under this attack alone: {exact(alone)}", *map(record, cells)]
        return spec(table.names.attack(worst), "\n".join(lines) if worst else "")

    return column, value


def _epochs(_: Table, row: Row) -> Value:
    trained, kept = (row.training(name) for name in ("epochs", "best_epoch"))
    if isnan(trained):
        return Value(NONE, nan)
    shown = f"{trained:g}" if kept in (0, trained) else f"{trained:g} ({kept:g})"
    return Value(shown, trained, f"epochs: {trained:g}\nkept: {kept:g}")


def _failed(_: Table, row: Row) -> Value:
    count = len(row.failed)
    reasons = dict.fromkeys(f"{cell.status}: {one_line(cell.reason)}" for cell in row.failed)
    return Value(
        f"{count} of {len(row.cells)}" if count else "0", count, "\n".join(reasons), strong=bool(count)
    )
