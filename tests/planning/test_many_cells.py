"""Grids of thousands of cells: planning them does not do again for each model what is the same for all."""

from attacks import ATTACKS
from benchmark.data import Folders
from benchmark.planning import cells
from benchmark.planning.grid import build_grid
from benchmark.planning.resolve import resolve
from benchmark.planning.todo import find_todo
from benchmark.records import Store


def planned(tmp_path, seeds, **given):
    settings = {"datasets": "digits", "defenses": "vanilla,mixup", "attacks": "cascade", **given}
    return build_grid(resolve({**settings, "seeds": list(range(seeds))}), Folders(tmp_path, tmp_path))


def test_attacks_are_built_as_often_for_many_seeds_as_for_few(tmp_path, monkeypatch):
    built = []
    build, digest = ATTACKS.build, cells.source_digest
    monkeypatch.setattr(ATTACKS, "build", lambda text: built.append(text) or build(text))
    monkeypatch.setattr(cells, "source_digest", lambda code: built.append("") or digest(code))

    def count(seeds):
        built.clear()
        planned(tmp_path, seeds)
        return len(built)

    # Each training asks for the attack that it is validated with, and its setting for the sources.
    assert (count(6) - count(2)) / 4 < 0.3 * count(2)


def test_cells_of_all_models_are_planned_alike(tmp_path):
    """A plan that is kept holds nothing of the model that it was made for."""
    grid = planned(tmp_path, 2, norm="linf,l2")
    alone = build_grid(
        resolve(
            {"datasets": "digits", "defenses": "mixup", "attacks": "cascade", "seeds": [1], "norm": "l2"}
        ),
        Folders(tmp_path, tmp_path),
    )
    ids = {cell.id for cell in grid.cell_refs()}
    mixup = {cell.id for cell in alone.cell_refs() if cell.key.defense == "mixup"}
    assert len(mixup) > 10
    assert mixup <= ids
    todo = find_todo(grid, Store(tmp_path))
    assert todo.cells == len(ids)
    jobs = {job.id: job for job in todo.attacks}
    for job in todo.attacks:
        assert all(jobs[needed].model.id == job.model.id for needed in job.waits_for)
