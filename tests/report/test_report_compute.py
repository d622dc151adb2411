import pandas as pd
import pytest
from fake_run import EPOCHS, PASSES, FakeRun

from benchmark.records.store import Store
from benchmark.report import write_report
from benchmark.report.boards import main_board
from benchmark.report.cell_results import Run
from benchmark.report.csv_files import cells_frame, leaderboard_frame
from benchmark.report.reproduce import command
from benchmark.report.tables import collect

BOTH_MODES = {"compute": (EPOCHS, PASSES), "alike": ("eat[members=3]", "pixels")}


def row_of(table, defense):
    return next(row for row in table.rows if row.defense == defense)


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    output = tmp_path_factory.mktemp("modes")
    FakeRun(**BOTH_MODES, checks={"vanilla": {"collapsed": "fail"}}, seeds=(0,)).write(output)
    return output, write_report(output)


def test_each_mode_has_its_table_with_equal_epochs_first(tables_of):
    _, tables = tables_of(FakeRun(**BOTH_MODES, eps=(0.05, 0.1), curve={}, curve_eps=()))
    assert [(table.key.eps, table.key.compute) for table in tables] == [
        (0.05, EPOCHS), (0.05, PASSES), (0.1, EPOCHS), (0.1, PASSES),
    ]  # fmt: skip
    assert all(len(table.rows) == 4 for table in tables)


def test_figures_of_one_mode_are_those_of_a_run_of_that_mode_alone(tables_of):
    """The same model keys in the other mode change nothing, not even over eps."""
    _, both = tables_of(FakeRun(**BOTH_MODES), "both")
    for table, mode in zip(both, (EPOCHS, PASSES), strict=True):
        _, (alone,) = tables_of(FakeRun(compute=(mode,), alike=BOTH_MODES["alike"]), mode)
        pd.testing.assert_frame_equal(leaderboard_frame([table]), leaderboard_frame([alone]))
    first, second = (row_of(table, "vanilla") for table in both)
    assert first.mean("worst_ami") < second.mean("worst_ami")


def test_a_model_of_both_modes_is_judged_and_shown_in_both(tables_of):
    run, tables = tables_of(FakeRun(**BOTH_MODES, checks={}))
    first, second = (row_of(table, "eat[members=3]") for table in tables)
    assert first.checks == second.checks and not first.failing
    assert {v.status for v in second.checks.values()} == {"pass"}
    assert [o.ref.id for o in first.outcomes] == [o.ref.id for o in second.outcomes]
    frame = cells_frame(run)
    counts = frame.groupby(["defense", "compute"]).size()
    assert counts["eat[members=3]", EPOCHS] == counts["eat[members=3]", PASSES] == counts["vanilla", EPOCHS]
    keys = ["compute", "defense", "seed", "scenario", "attack", "norm", "eps", "metric"]
    assert not frame.duplicated(keys).any()


def test_epochs_are_in_the_file_and_on_the_board(tables_of):
    _, tables = tables_of(FakeRun(**BOTH_MODES))
    frame = leaderboard_frame(tables).set_index(["compute", "defense"])
    assert frame.loc[(EPOCHS, "vanilla"), "epochs"] == 24
    assert frame.loc[(PASSES, "vanilla"), "epochs"] == 48
    assert frame.loc[(PASSES, "eat[members=3]"), "epochs"] == 24
    assert frame.loc[(EPOCHS, "vanilla"), "best_epoch"] == 16
    assert frame.loc[(EPOCHS, "pixels"), ["epochs", "best_epoch"]].tolist() == [0, 0]
    heads, _, *rows = main_board(tables[0])
    column = [cell.strip() for cell in heads.split("|")].index("epochs")
    shown = {line.split("|")[2].strip(): line.split("|")[column].strip() for line in rows}
    assert shown["`vanilla`"] == "24 (16)" and shown["`pixels`"] == "0"


def test_the_first_mode_asked_for_leads(tmp_path):
    FakeRun(**BOTH_MODES | {"compute": (PASSES, EPOCHS)}, seeds=(0,)).write(tmp_path)
    assert [table.lead for table in collect(Run(Store(tmp_path)))] == [False, True]


def test_the_page_has_both_tables_and_the_details_once(report):
    output, paths = report
    page = (output / "leaderboard.md").read_text(encoding="utf-8")
    for mode in ("equal epochs", "equal passes"):
        assert page.count(f"\n## glyphs, smallconv, proxy_anchor, L∞ 0.1, {mode}\n") == 1
    assert "spend 27 cost units" in page
    for once in ("### Each attack alone", "### Are the numbers true?", "### Over budgets", "## Training"):
        assert page.count(once) == 1
    assert page.count("**fails** `collapsed`: ") == 2  # why a row is marked stands in both sections
    names = {path.name for path in paths}
    for name in (
        "clean_vs_worst_glyphs_smallconv_proxy_anchor_linf_0.1",
        "training_glyphs_smallconv_proxy_anchor",
    ):
        assert {f"{name}.png", f"{name}_equal-passes.png"} <= names
    assert not any(name.startswith(("heatmap", "eps", "tsne")) and PASSES in name for name in names)
    for path in paths:
        assert path.suffix != ".png" or f"](figures/{path.name})" in page
    cells = len({ref.id for ref in Store(output).manifest().cells})
    assert f"{cells} of {cells} cells" in page
    assert page.count("--compute equal-passes") == page.count("--compute equal-epochs") == 1


def test_the_command_names_mode_budget_and_lack_of_checks(tables_of):
    run, tables = tables_of(FakeRun(**BOTH_MODES, budget=13.5, config={"checks": False}))
    epochs, passes = (command(run.manifest, table, table.rows[0]) for table in tables)
    assert "--compute equal-epochs" in epochs and "--budget" not in epochs
    assert "--compute equal-passes" in passes and "--budget 13.5" in passes
    assert epochs.endswith("--no-checks")
    run, (table,) = tables_of(FakeRun(config={"checks": True}), "plain")
    plain = command(run.manifest, table, table.rows[0])
    assert "--compute equal-epochs" in plain and "--no-checks" not in plain
