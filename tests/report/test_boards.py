from benchmark.report.ablation import ablation_board
from benchmark.report.boards import attacks_board, checks_board, main_board
from benchmark.report.csv_files import leaderboard_frame
from benchmark.report.notes import check_notes
from benchmark.report.sources import legend

from .fake_run import EQUAL_EPOCHS, EQUAL_PASSES, FakeRun
from .own_models import HOME, models_beside_defenses

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


def test_own_models_and_plugins_are_marked_and_training_costs_unknown(tables_of):
    run, (table, _) = tables_of(models_beside_defenses())
    heads, _, *rows = main_board(table)
    heads = [cell.strip() for cell in heads.split("|")]
    shown = {cells[2]: cells for cells in ([cell.strip() for cell in row.split("|")] for row in rows)}
    own = shown["`net.py:make[weights=net.safetensors]` *own model* \u2020"]
    assert [own[heads.index(name)] for name in ("train cost \u00d7", "epochs")] == ["\u2013", "\u2013"]
    assert own[heads.index("embed cost \u00d7")] == "4.00" and own[1].startswith("4 (")
    assert "`distilled[table=table.pt]` *plugin 1a2b3c4d*" in shown and "`pgd_at`" in shown
    assert heads[2] == "model"
    for board in (attacks_board(table), ablation_board(run, table)):
        assert "`net.onnx` *own model*" in board[0] and HOME not in "".join(board)


def test_the_legend_explains_only_the_marks_that_are_there():
    assert legend({""}) == ""
    assert legend({"", "own model"}).startswith("*own model*: ") and "plugin" not in legend({"own model"})
    assert "*plugin*" in legend({"plugin:1a2b3c4d"}) and "own model" not in legend({"plugin:1a2b3c4d"})
