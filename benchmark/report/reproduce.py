"""The command that makes one row again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from benchmark.report.style import format_eps
from benchmark.report.tables import SAME, Row, Table
from benchmark.runner.records import RunManifest

FOLDER = "reproduced"


def command(manifest: RunManifest, table: Table, row: Row) -> str:
    """Writes a command line for `run_benchmark.py` that computes a row anew, in a folder of its own.

    Budgets are the table's and the smaller ones of the run, which the worst AMI looks at too; what the keys
    of the cells do not tell is taken from the configuration.
    """
    key = table.key
    smaller = {
        cell.key.eps
        for cell in manifest.cells
        if cell.role == "suite"
        and (cell.key.dataset, cell.key.norm) == (key.dataset, key.norm)
        and cell.key.eps < key.eps + SAME
    }
    config = manifest.config
    options: list[tuple[str, Iterable[Any]]] = [
        ("defenses", [row.defense]),
        ("datasets", [key.dataset]),
        ("backbones", [key.backbone]),
        ("losses", [key.loss]),
        ("attacks", _values(config, "attacks")),
        ("scenarios", _values(config, "scenarios")),
        ("seeds", sorted({seed.seed for seed in row.seeds})),
        ("norm", [key.norm]),
        ("eps", [format_eps(eps) for eps in sorted(smaller)]),
        ("preset", _values(config, "preset")),
        *(("plugin", [plugin]) for plugin in _values(config, "plugins") or _values(config, "plugin")),
        ("output", [FOLDER]),
    ]
    words = ["python run_benchmark.py"]
    for name, values in options:
        quoted = " ".join(_quoted(str(value)) for value in values)
        if quoted:
            words.append(f"--{name} {quoted}")
    return " \\\n    ".join(words)


def _values(config: dict[str, Any], name: str) -> list[Any]:
    value = config.get(name)
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


def _quoted(value: str) -> str:
    """Guards brackets, spaces and the like from the shell; double quotes work in every one."""
    return value if all(character.isalnum() or character in "_-./+:" for character in value) else f'"{value}"'
