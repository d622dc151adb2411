from dataclasses import replace

from benchmark.report.ablation import ablation
from benchmark.report.boards import attacks_board, checks_at_zero, checks_board, details_board, main_board
from benchmark.report.csv_files import leaderboard_frame
from benchmark.report.marks import marks_legend
from benchmark.report.notes import check_notes
from benchmark.report.sources import legend

from .fake_run import EQUAL_EPOCHS, EQUAL_PASSES, FakeRun
from .own_models import HOME, models_alone, models_beside_defenses

WEAKNESS = {"best": 0.1, "mid": 0.4, "weak": 0.9}


def test_the_boards_mark_what_fails(tables_of):
    checks = {"weak": {"rescored": "fail"}, "mid": {"unbounded": "not run"}}
    run, (table,) = tables_of(FakeRun(weakness=WEAKNESS, references=(), checks=checks))
    lines = {line.split("|")[2].strip(): line for line in main_board(table)}
    assert "**fails** `rescored`" in lines["`weak` \u2020"]
    assert "| 10 pass, 1 not run |" in lines["`mid`"] and "| pass |" in lines["`best`"]
    board = checks_board(table, run.manifest.checks)
    values = {line.split("|")[1].strip(" `"): [c.strip() for c in line.split("|")[3:6]] for line in board}
    assert values["check"] == ["`best`", "`mid`", "`weak` \u2020"]
    assert values["unbounded"] == ["0.1", "\u2013", "0.1"]
    assert values["rescored"] == ["0.1", "0.1", "**60.0** \u2020"]
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
    heads, _, *rows = details_board(tables[0])
    column = [cell.strip() for cell in heads.split("|")].index("epochs")
    shown = {line.split("|")[1].strip(): line.split("|")[column].strip() for line in rows}
    assert shown["`vanilla`"] == "24 (16)" and shown["`pixels` *reference*"] == "0"


def test_own_models_and_plugins_are_marked_and_training_costs_unknown(tables_of):
    run, (table, _) = tables_of(models_beside_defenses())
    heads, _, *rows = [
        f"{main}{more.partition('|')[2].partition('|')[2]}"
        for main, more in zip(main_board(table), details_board(table), strict=True)
    ]
    heads = [cell.strip() for cell in heads.split("|")]
    shown = {cells[2]: cells for cells in ([cell.strip() for cell in row.split("|")] for row in rows)}
    own = shown["`net.py:make[weights=net.safetensors]` *own model* \u2020"]
    assert [own[heads.index(name)] for name in ("train cost \u00d7", "epochs")] == ["\u2013", "\u2013"]
    assert own[heads.index("embed cost \u00d7")] == "4.00" and own[1].startswith("4 (")
    assert "`distilled[table=table.pt]` *plugin 1a2b3c4d*" in shown and "`pgd_at`" in shown
    assert heads[2] == "model"
    for board in (attacks_board(table), ablation(run, table).board):
        assert "`net.onnx` *own model*" in board[0] and HOME not in "".join(board)


def test_the_legend_explains_only_the_marks_that_are_there():
    assert legend({""}) == ""
    assert legend({"", "own model"}).startswith("*own model*: ") and "plugin" not in legend({"own model"})
    assert "*plugin*" in legend({"plugin:1a2b3c4d"}) and "own model" not in legend({"plugin:1a2b3c4d"})


def test_the_main_table_has_nine_columns_at_most_and_the_second_the_rest(tables_of):
    for name, fake in {"all": FakeRun(), "models": models_beside_defenses(), "alone": models_alone()}.items():
        _, (table, *_) = tables_of(fake, name)
        main, details = main_board(table), details_board(table)
        assert len(main[0].split(" | ")) <= 9
        assert len(main) == len(details) == len(table.rows) + 2
        for title in ("NMI", "worst attack", "failed cells"):
            assert title in details[0] and title not in main[0]
        assert ("embed cost" in main[0]) == (name == "alone") != ("train cost" in main[0])


def test_controls_and_references_are_marked(tables_of):
    fake = FakeRun(
        weakness={"ensemble_at": 0.2, "eat": 0.3, "pixels": 0.9}, controls={"ensemble_at": ["eat"]}
    )
    _, (table,) = tables_of(fake)
    shown = {line.split("|")[2].strip() for line in main_board(table)[2:]}
    assert shown == {"`ensemble_at` *control of eat*", "`eat`", "`pixels` *reference*"}
    assert "*control*: the same without" in marks_legend(table.rows)
    assert marks_legend([row for row in table.rows if row.defense == "eat"]) == ""


def test_checks_that_are_0_for_every_row_have_no_line(tables_of):
    run, (table,) = tables_of(FakeRun(weakness=WEAKNESS, references=(), checks={}, seeds=(0,)))
    first, second = list(run.manifest.checks)[:2]
    for row in table.rows:
        row.checks[first] = replace(row.checks[first], value=-0.0001)
    table.rows[0].checks[second] = replace(table.rows[0].checks[second], value=0.0)
    assert checks_at_zero(table, run.manifest.checks) == [first]
    board = "".join(checks_board(table, run.manifest.checks))
    assert f"`{first}`" not in board and f"`{second}`" in board


def test_the_worst_attack_of_the_table_has_a_line_and_a_column(tables_of):
    only_curve = "pgd_decay[objective=information]"
    fake = FakeRun(curve={only_curve: 1.4}, curve_eps=(0.05, 0.1), seeds=(0,))
    _, (table,) = tables_of(fake)
    worst = {row.worst_attack("clustering", "ami") for row in table.rows}
    assert only_curve in worst
    assert worst <= set(table.attacks)  # the heat map has a column for each of these
    assert "`pgd_decay information`" in "".join(attacks_board(table))
