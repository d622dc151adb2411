"""The commit and the command that reproduce a row."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Sequence
from typing import Any

from benchmark.core.display_names import without_folders
from benchmark.records import RunManifest
from benchmark.report.cell_results import Run
from benchmark.report.csv_files import provenances
from benchmark.report.display_names import NOT_TRAINED
from benchmark.report.escapes import code
from benchmark.report.rows import SAME, Row
from benchmark.report.style import format_eps
from benchmark.report.tables import EQUAL_PASSES, Table

FOLDER = "reproduced"
DIRTY = "-dirty"
"""What the commit of a source tree with uncommitted changes ends with."""
START = "vanilla"
"""The defense that stands beside an own model if the table has it: transferred attacks may start from it."""


def command(manifest: RunManifest, table: Table, row: Row) -> str:
    """Writes a command line for `run_benchmark.py` that computes a row again, in a folder of its own.

    Paths of the machine that the run was made on are shortened to their last part. What the keys of the cells
    do not hold is taken from the run's configuration.
    """
    key, config = table.key, manifest.config
    config_file = re.search(r"--config[= ](\S+)", " ".join([manifest.command, *manifest.merged]))
    options: list[tuple[str, Iterable[Any]]] = [
        ("config", map(without_folders, config_file.groups() if config_file else ())),
        ("preset", _values(config, "preset")),
        *_rows(manifest, table, row),
        ("datasets", [without_folders(key.dataset)]),
        ("backbones", _spec(key.backbone)),
        ("losses", _spec(key.loss)),
        ("scenarios", _values(config, "scenarios")),
        ("attacks", map(without_folders, _values(config, "attacks")) if _asked(manifest, "attacks") else ()),
        ("seeds", sorted({seed.seed for seed in row.seeds})),
        ("norm", [key.norm]),
        ("eps", _budgets(manifest, table) if _asked(manifest, "eps") else ()),
        *(("plugin", [without_folders(plugin)]) for plugin in _values(config, "plugin")),
        *_mode(manifest, key.compute),
        ("attack-precision", _precision(config)),
        ("output", [FOLDER]),
    ]
    words = ["python run_benchmark.py"]
    for name, values in options:
        quoted = " ".join(_quoted(str(value)) for value in values)
        if quoted:
            words.append(f"--{name} {quoted}")
    if config.get("checks") is False:
        words.append("--no-checks")
    return " \\\n    ".join(words)


def checkout(run: Run, rows: Sequence[Row]) -> str:
    """Says which commit to check out to compute rows again, in a clause that begins a sentence."""
    made_by = sorted((one for row in rows for one in provenances(row)), key=lambda one: one.created)
    newest, *older = list(dict.fromkeys(one.commit for one in reversed(made_by))) or ["unknown"]
    if newest == "unknown":
        return "The commit of the row's records is not known: with the code that the board was made with"
    if newest.endswith(DIRTY):
        return (
            f"Check out {code(newest.removesuffix(DIRTY))}, add the changes that were not committed when the "
            "row's records were made"
        )
    if not older:
        return f"Check out {code(newest)}, the commit of the row's records"
    others = ", ".join(map(code, older))
    if run.manifest.merged:  # of folders whose code may differ
        return f"Check out the commit of the row's records, {code(newest)} or {others} (see `cells.csv`)"
    # A run keeps a record of another commit only where the code that made it has not changed since.
    return f"Check out {code(newest)}, the commit of the row's newest record (the older ones are of {others})"


def _rows(manifest: RunManifest, table: Table, row: Row) -> list[tuple[str, Iterable[Any]]]:
    """The options that name the row.

    An own model of a table of defenses needs one beside it: alone it is searched for among all classes.
    """
    if not row.own:
        return [("defenses", _spec(row.defense))]
    trained = [other.defense for other in table.rows if other.trained]
    beside = min(trained, key=lambda spec: spec != START, default=NOT_TRAINED)
    return [("defenses", _spec(beside)), ("model", _spec(row.defense))]


def _spec(spec: str) -> list[str]:
    """A spec with its paths shortened; nothing where the table has none."""
    if spec == NOT_TRAINED:
        return []
    return [without_folders(spec)]


def _mode(manifest: RunManifest, compute: str) -> list[tuple[str, Iterable[Any]]]:
    """The options that set the compute mode and its budget."""
    if compute == EQUAL_PASSES:
        return [("compute", [compute]), ("budget", [f"{manifest.budget:.12g}"])]
    return [("compute", [compute])] if compute != NOT_TRAINED else []


def _precision(config: dict[str, Any]) -> list[str]:
    """The precision of the attacks' searches, where it is not the default."""
    return [name for name in _values(config, "attack_precision") if name != "float32"]


def _asked(manifest: RunManifest, option: str) -> bool:
    """Whether the command needs the option.

    A preset's budgets for the plot over eps, which count for the worst AMI too, are part of the run only when
    neither attacks nor eps are given; in a run that has them, an option that was not given must stay away.
    """
    curve = any(cell.role == "curve" for cell in manifest.cells)
    return any(f"--{option}" in given for given in (manifest.command, *manifest.merged)) or not curve


def _budgets(manifest: RunManifest, table: Table) -> list[str]:
    """The table's eps and the smaller ones of the suite, which count for the worst AMI too."""
    key = table.key
    found = {
        cell.key.eps
        for cell in manifest.cells
        if cell.role == "suite"
        and (cell.key.dataset, cell.key.norm) == (key.dataset, key.norm)
        and cell.key.eps < key.eps + SAME
    }
    return [format_eps(eps) for eps in sorted(found)]


def _values(config: dict[str, Any], name: str) -> list[Any]:
    value = config.get(name)
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


def _quoted(value: str) -> str:
    """Quotes a value where the shell would change it; double quotes, where these do, work in any shell."""
    if any(ord(character) < 32 or ord(character) == 127 for character in value):  # as bash and zsh write them
        return "$'" + "".join(map(_escaped, value)) + "'"
    if re.search(r"[$`\"\\!]", value):
        return shlex.quote(value)
    return value if re.fullmatch(r"[\w\-./+:]+", value) else f'"{value}"'


def _escaped(character: str) -> str:
    if character in "\\'":
        return f"\\{character}"
    return f"\\x{ord(character):02x}" if ord(character) < 32 or ord(character) == 127 else character
