import numpy as np
import pandas as pd
import pytest

from benchmark.records import Store
from benchmark.report.cell_results import Run
from benchmark.report.csv_files import cells_frame, leaderboard_frame

from .fake_run import NEIGHBOUR, RETRIEVAL, FakeRun

FGSM, SQUARE = "fgsm[objective=neighbour]", "square[objective=neighbour]"
WEAKNESS = {"best": 0.1, "mid": 0.4, "weak": 0.9}


def test_cells_for_the_checks_change_nothing_else(tables_of):
    plain = FakeRun(weakness=WEAKNESS, references=())
    checked = FakeRun(weakness=WEAKNESS, references=(), checking={FGSM: 1.3, SQUARE: 1.2, NEIGHBOUR: 1.0})
    run, tables = tables_of(plain)
    other, others = tables_of(checked, "checked")
    pd.testing.assert_frame_equal(leaderboard_frame(run, tables), leaderboard_frame(other, others))
    assert tables[0].attacks == others[0].attacks
    assert [cell.key for cell in run.table_cells] == [cell.key for cell in other.table_cells]
    # An attack of the suite keeps the suite's role.
    assert {cell.key.attack for cell in other.check_cells} == {FGSM, SQUARE}
    cells = cells_frame(other)
    assert set(cells[cells.attack == SQUARE].scenario) == {RETRIEVAL}
    assert len(cells[cells.attack == SQUARE]) == 3 * 6


def test_a_failed_cell_of_the_checks_is_listed_but_makes_no_row_incomplete(tables_of):
    fake = FakeRun(
        weakness=WEAKNESS, references=(), checking={SQUARE: 1.0}, failed_attacks={("best", SQUARE): "no"}
    )
    run, tables = tables_of(fake)
    frame = leaderboard_frame(run, tables).set_index("defense")
    assert (frame.failed_cells == 0).all() and frame.loc["best", "rank"] == 1
    assert [cell.reason for cell in run.cells if not cell.done] == ["no", "no"]


@pytest.mark.parametrize("part", ["cells", "arrays"])
def test_damaged_files_are_not_trusted(tmp_path, part):
    fake = FakeRun()
    manifest = fake.write(tmp_path / "run")
    ref = next(r for r in manifest.cells if r.key.defense == "pgd_at" and r.key.attack == NEIGHBOUR)
    (path,) = (tmp_path / "run" / "store" / part).glob(f"{ref.id}.*")
    path.write_bytes(path.read_bytes()[:40])
    run = Run(Store(tmp_path / "run"))
    (broken,) = [cell for cell in run.table_cells if not cell.done]
    assert broken.ref == ref
    assert broken.status == "failed"
    found = "its record on disk is" if part == "cells" else "its arrays on disk are"
    assert broken.reason == f"{found} damaged: it is cut off or changed"
    assert path.exists() and not list((tmp_path / "run").rglob("*.damaged*"))  # a report renames nothing
    assert np.isnan(broken.metric("ami"))
