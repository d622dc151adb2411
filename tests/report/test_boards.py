from benchmark.report.boards import checks_board, main_board
from benchmark.report.csv_files import leaderboard_frame
from benchmark.report.notes import check_notes

from .fake_run import EQUAL_EPOCHS, EQUAL_PASSES, FakeRun

WEAKNESS = {"best": 0.1, "mid": 0.4, "weak": 0.9}


def test_the_boards_mark_what_fails(tables_of):
    checks = {"weak": {"rescored": "fail"}, "mid": {"unbounded": "not run"}}
    run, (table,) = tables_of(FakeRun(weakness=WEAKNESS, references=(), checks=checks))
    lines = {line.split("|")[2].strip(): line for line in main_board(table)}
    assert "**fails** `rescored`" in lines["`weak` \u2020"]
    assert "| 10 of 11 pass |" in lines["`mid`"] and "| pass |" in lines["`best`"]
    board = checks_board(table, run.manifest.checks)
    values = {line.split("|")[1].strip(" `"): [c.strip() for c in line.split("|")[3:6]] for line in board}
    assert values["check"] == ["`best`", "`mid`", "`weak` \u2020"]
    assert values["unbounded"] == ["0.001", "\u2013", "0.001"]
    assert values["rescored"] == ["0.001", "0.001", "**0.600** \u2020"]
    notes = check_notes(table)
    assert "`weak` **fails** `rescored`: rescored of weak \\| seen (seed 1)." in notes
    assert "`unbounded` was not run for `mid`: it needs more." in notes
    assert len(notes) == 2


def test_epochs_are_in_the_file_and_on_the_board(tables_of):
    run, tables = tables_of(FakeRun(compute=(EQUAL_EPOCHS, EQUAL_PASSES), alike=("eat[members=3]", "pixels")))
    frame = leaderboard_frame(run, tables).set_index(["compute", "defense"])
    assert frame.loc[(EQUAL_EPOCHS, "vanilla"), "epochs"] == 24
    assert frame.loc[(EQUAL_PASSES, "vanilla"), "epochs"] == 48
    assert frame.loc[(EQUAL_PASSES, "eat[members=3]"), "epochs"] == 24
    assert frame.loc[(EQUAL_EPOCHS, "vanilla"), "best_epoch"] == 16
    assert frame.loc[(EQUAL_EPOCHS, "pixels"), ["epochs", "best_epoch"]].tolist() == [0, 0]
    heads, _, *rows = main_board(tables[0])
    column = [cell.strip() for cell in heads.split("|")].index("epochs")
    shown = {line.split("|")[2].strip(): line.split("|")[column].strip() for line in rows}
    assert shown["`vanilla`"] == "24 (16)" and shown["`pixels`"] == "0"
