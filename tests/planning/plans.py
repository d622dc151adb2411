"""A small grid, planned and not run."""

from benchmark.data import Folders
from benchmark.planning.grid import Grid, build_grid
from benchmark.planning.resolve import resolve


def plan(tmp_path, **arguments) -> Grid:
    """Plans `vanilla` on digits under one attack in two scenarios, unless the arguments say otherwise."""
    given = {
        "datasets": "digits",
        "defenses": "vanilla",
        "attacks": "noise",
        "checks": False,
        "scenarios": "clustering,retrieval-query",
        **arguments,
    }
    return build_grid(resolve(given), Folders(tmp_path, tmp_path))


def ids(made: Grid) -> set[str]:
    """The identities of a grid's cells."""
    return {cell.id for cell in made.cell_refs()}
