import pytest

from benchmark.report.checks import over_seeds, summary
from benchmark.report.csv_files import leaderboard_frame

from .fake_run import CHECKS, FakeRun

WEAKNESS = {"best": 0.1, "mid": 0.4, "weak": 0.9}


def rows(run, tables):
    return leaderboard_frame(run, tables).set_index("defense")


def test_without_results_every_check_is_not_run(tables_of):
    run, tables = tables_of(FakeRun())
    frame = rows(run, tables)
    assert (frame.checks == "not run").all()
    assert (frame[[f"check_{name}" for name in CHECKS]] == "not run").all(axis=None)


def test_the_summary_is_pass_only_where_every_check_passed(tables_of):
    checks = {"mid": {"unbounded": "not run"}, "weak": {"rescored": "fail", "unbounded": "fail"}}
    run, tables = tables_of(FakeRun(weakness=WEAKNESS, references=(), checks=checks))
    frame = rows(run, tables)
    assert frame.checks.to_dict() == {
        "best": "pass",
        "mid": "10 of 11 pass",
        "weak": "fail: unbounded+rescored",
    }
    assert frame.loc["mid", "check_unbounded"] == "not run"
    assert frame.loc["weak", ["check_unbounded", "check_collapsed"]].tolist() == ["fail", "pass"]


def test_one_seed_that_fails_or_was_not_checked_decides(tables_of):
    fake = FakeRun(weakness=WEAKNESS, references=(), checks={"weak": {"collapsed": "fail"}})
    run, (table,) = tables_of(fake)
    first, second = (
        run.checks(ref.id, "linf", 0.1) for ref in run.manifest.models if ref.key.defense == "best"
    )
    bad = next(run.checks(m.id, "linf", 0.1) for m in run.manifest.models if m.key.defense == "weak")
    assert summary(over_seeds(CHECKS, [first, second])) == "pass"
    assert summary(over_seeds(CHECKS, [first, None])) == "not run"
    assert summary(over_seeds(CHECKS, [first, bad])) == "fail: collapsed"
    assert summary(over_seeds(CHECKS, [None, bad])) == "fail: collapsed"
    assert summary(over_seeds(CHECKS, [])) == "not run"
    weak = next(row for row in table.rows if row.defense == "weak").checks["collapsed"]
    assert (weak.value, weak.seed) == (pytest.approx(0.6), 1)  # the worse of the two seeds


def test_a_check_without_results_is_not_run(tables_of):
    run, _ = tables_of(FakeRun(weakness=WEAKNESS, references=(), checks={}))
    records = [run.checks(ref.id, "linf", 0.1) for ref in run.manifest.models if ref.key.defense == "best"]
    checks = over_seeds(["brand_new", *CHECKS], records)
    assert list(checks) == ["brand_new", *CHECKS]
    assert checks["brand_new"].status == "not run" and checks["collapsed"].status == "pass"
