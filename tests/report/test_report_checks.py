import pandas as pd
import pytest
from fake_run import NEIGHBOUR, OWN, RETRIEVAL, FakeRun

from benchmark.evaluation.checks import CHECKS as REGISTERED
from benchmark.records import CHECKS
from benchmark.report.boards import check_notes, checks_board, main_board
from benchmark.report.checks import over_seeds, summary
from benchmark.report.csv_files import cells_frame, leaderboard_frame
from benchmark.report.figures import TableFigures
from benchmark.report.markdown import render

FGSM, SQUARE = "fgsm[objective=neighbour]", "square[objective=neighbour]"
WEAKNESS = {"best": 0.1, "mid": 0.4, "weak": 0.9}


def rows(tables):
    return leaderboard_frame(tables).set_index("defense")


def test_the_names_are_those_of_the_checks():
    assert tuple(REGISTERED.names()) == CHECKS


def test_what_was_not_judged_is_not_run(tables_of):
    _, tables = tables_of(FakeRun())
    frame = rows(tables)
    assert (frame.checks == "not run").all()
    assert (frame[[f"check_{name}" for name in CHECKS]] == "not run").all(axis=None)


def test_pass_is_said_only_where_every_check_passed(tables_of):
    said = {"mid": {"unbounded": "not run"}, "weak": {"rescored": "fail", "unbounded": "fail"}}
    _, tables = tables_of(FakeRun(weakness=WEAKNESS, references=(), checks=said))
    frame = rows(tables)
    assert frame.checks.to_dict() == {
        "best": "pass",
        "mid": "10 of 11 pass",
        "weak": "fail: unbounded+rescored",
    }
    assert frame.loc["mid", "check_unbounded"] == "not run"
    assert frame.loc["weak", ["check_unbounded", "check_collapsed"]].tolist() == ["fail", "pass"]


def test_one_seed_that_fails_or_was_not_judged_decides(tables_of):
    fake = FakeRun(weakness=WEAKNESS, references=(), checks={"weak": {"collapsed": "fail"}})
    run, (table,) = tables_of(fake)
    first, second = (
        run.checks(ref.id, "linf", 0.1) for ref in run.manifest.models if ref.key.defense == "best"
    )
    bad = next(run.checks(m.id, "linf", 0.1) for m in run.manifest.models if m.key.defense == "weak")
    assert summary(over_seeds([first, second])) == "pass"
    assert summary(over_seeds([first, None])) == "not run"
    assert summary(over_seeds([first, bad])) == "fail: collapsed"
    assert summary(over_seeds([None, bad])) == "fail: collapsed"
    assert summary(over_seeds([])) == "not run"
    weak = next(row for row in table.rows if row.defense == "weak").checks["collapsed"]
    assert (weak.figure, weak.seed) == (pytest.approx(0.6), 1)  # the worse of the two seeds


def test_a_row_that_fails_ranks_below_those_that_do_not_and_above_incomplete_ones(tables_of):
    fake = FakeRun(
        weakness={"fails": 0.0, "misses": 0.1, "sound": 0.5, "weak": 0.9},
        references=(),
        checks={"fails": {"zero_gradient": "fail"}, "misses": {"zero_gradient": "fail"}},
        missing={("misses", OWN)},
    )
    _, tables = tables_of(fake)
    frame = leaderboard_frame(tables)
    assert list(frame.defense) == ["sound", "weak", "fails", "misses"]
    assert list(frame["rank"]) == [1, 2, 3, 4]
    assert tuple(frame.iloc[2][["rank_low", "rank_high"]]) == (3, 3)
    assert frame.worst_ami.idxmax() >= 2


def test_cells_for_the_checks_change_nothing_else(tables_of):
    plain = FakeRun(weakness=WEAKNESS, references=())
    checked = FakeRun(weakness=WEAKNESS, references=(), checking={FGSM: 1.3, SQUARE: 1.2, NEIGHBOUR: 1.0})
    run, tables = tables_of(plain)
    other, others = tables_of(checked, "checked")
    pd.testing.assert_frame_equal(leaderboard_frame(tables), leaderboard_frame(others))
    assert tables[0].attacks == others[0].attacks
    assert [o.key for o in run.outcomes] == [o.key for o in other.outcomes]
    assert {o.key.attack for o in other.check_outcomes} == {
        FGSM,
        SQUARE,
    }  # the suite's stay the suite's
    cells = cells_frame(other)
    assert set(cells[cells.attack == SQUARE].scenario) == {RETRIEVAL}
    assert len(cells[cells.attack == SQUARE]) == 3 * 6


def test_a_failed_cell_of_the_checks_is_listed_but_makes_no_row_incomplete(tables_of):
    fake = FakeRun(
        weakness=WEAKNESS, references=(), checking={SQUARE: 1.0}, failed_attacks={("best", SQUARE): "no"}
    )
    run, tables = tables_of(fake)
    frame = rows(tables)
    assert (frame.failed_cells == 0).all() and frame.loc["best", "rank"] == 1
    assert [o.reason for o in run.cells if not o.done] == ["no", "no"]


def test_the_boards_mark_what_fails(tables_of):
    said = {"weak": {"rescored": "fail"}, "mid": {"unbounded": "not run"}}
    _, (table,) = tables_of(FakeRun(weakness=WEAKNESS, references=(), checks=said))
    lines = {line.split("|")[2].strip(): line for line in main_board(table)}
    assert "**fails** `rescored`" in lines["`weak` \u2020"]
    assert "| 10 of 11 pass |" in lines["`mid`"] and "| pass |" in lines["`best`"]
    board = checks_board(table, dict.fromkeys(CHECKS, "It is so."))
    figures = {line.split("|")[1].strip(" `"): [c.strip() for c in line.split("|")[3:6]] for line in board}
    assert figures["check"] == ["`best`", "`mid`", "`weak` \u2020"]
    assert figures["unbounded"] == ["0.001", "\u2013", "0.001"]
    assert figures["rescored"] == ["0.001", "0.001", "**0.600** \u2020"]
    notes = check_notes(table)
    assert "`weak` **fails** `rescored`: rescored of weak \\| seen (seed 1)." in notes
    assert "`unbounded` was not run for `mid`: it needs more." in notes
    assert len(notes) == 2


def test_the_page_claims_no_more_than_was_run(tables_of, tmp_path):
    small = {"weakness": WEAKNESS, "references": (), "seeds": (0,), "scenarios": (RETRIEVAL,)}
    pages = {}
    for name, options in {
        "none": {},
        "all": {"checks": {}, "checking": {SQUARE: 1.0}},
        "some": {"checks": {"best": {"collapsed": "fail"}, "mid": {"rescored": "not run"}}},
    }.items():
        run, tables = tables_of(FakeRun(**small, **options), name)
        pages[name] = " ".join(render(run, tables, [TableFigures()], tmp_path).split())
    heading = "### Are the numbers true?"
    assert heading not in pages["none"] and "were not run: nothing here" in pages["none"]
    assert heading in pages["all"] and "To pass them is no proof" in pages["all"]
    assert "Another 3 cells are there for the checks alone;" in pages["all"]
    assert "For the checks alone** (L∞ 0.1): `square[objective=neighbour]`" in pages["all"]
    assert "What collapsed asks |" in pages["all"] and "\u2020:" not in pages["all"]
    assert "Some of the checks were not run" in pages["some"]
    assert "`best` **fails** `collapsed`" in pages["some"]
    assert "mid keeps" in pages["some"] and "best keeps" not in pages["some"]  # no headline for what fails
    assert "checks alone" not in pages["none"]
