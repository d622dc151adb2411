"""Covariances of scores that are kept from one report to the next."""

from pathlib import Path

import pytest

from benchmark.records import Store
from benchmark.report import ranking, read_tables, write_report

from .fake_run import BOTH, RETRIEVAL, FakeRun

WEAKNESS = {"pgd_at": 0.3, "trades": 0.35}


def intervals(output: Path) -> list[tuple[int | None, int | None]]:
    return [(row.rank_low, row.rank_high) for table in read_tables(output)[1] for row in table.rows]


def fail(*_: object) -> None:
    raise AssertionError("The covariances were computed again.")


@pytest.mark.parametrize("scenarios", [BOTH, (RETRIEVAL,)])
def test_covariances_are_computed_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scenarios: tuple[str, ...]
) -> None:
    FakeRun(weakness=WEAKNESS, references=(), scenarios=scenarios, curve_eps=()).write(tmp_path)
    write_report(tmp_path)
    before = intervals(tmp_path)
    assert all(low is not None for low, _ in before)
    with monkeypatch.context() as patch:
        patch.setattr(ranking, "covariances", fail)
        assert intervals(tmp_path) == before
    (tmp_path / "store" / "covariances.json").unlink()
    assert intervals(tmp_path) == before


@pytest.mark.parametrize("scenarios", [BOTH, (RETRIEVAL,)])
def test_covariances_follow_the_arrays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scenarios: tuple[str, ...]
) -> None:
    run = FakeRun(weakness=WEAKNESS, references=(), scenarios=scenarios, curve_eps=())
    manifest = run.write(tmp_path)
    write_report(tmp_path)
    store = Store(tmp_path)
    for cell in manifest.cells:  # the same values, written again
        record = store.cell(cell.id)
        assert record is not None
        store.save_cell(record, store.arrays(cell.id))
    monkeypatch.setattr(ranking, "covariances", fail)
    with pytest.raises(AssertionError, match="computed again"):
        read_tables(tmp_path)
