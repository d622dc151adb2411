"""What the board says of attacks that were made only on the queries that still stood."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from benchmark.api.row import make_row
from benchmark.records import Store
from benchmark.report.ablation import ablation
from benchmark.report.boards import attacks_board
from benchmark.report.cell_results import Run
from benchmark.report.csv_files import cells_frame, leaderboard_frame
from benchmark.report.figures import TableFigures
from benchmark.report.heatmap import heatmap
from benchmark.report.markdown import render
from benchmark.report.notes import running_note, unattacked_notes
from benchmark.report.ranking import rank
from benchmark.report.tables import collect

from .fake_run import CLUSTERING, NEIGHBOUR, NOISE, OWN, RETRIEVAL, FakeRun

NOTE = "Not attacked: after the attacks before it R@1 is 1.0 %, at or below chance (1.4 %)."


@pytest.fixture
def cascaded(tmp_path):
    """One model: OWN follows the clean images and NEIGHBOUR, and NOISE was not made any more."""
    manifest = FakeRun(weakness={"pgd_at": 0.5}, references=(), seeds=(0,), curve={}).write(tmp_path)
    store = Store(tmp_path)
    ids = {ref.key.attack: ref.id for ref in manifest.cells if ref.key.scenario == RETRIEVAL}
    clean, first = (store.arrays(ids[attack])["success"] for attack in ("none", NEIGHBOUR))
    before = np.minimum(clean, first)
    follows = [ids["none"], ids[NEIGHBOUR]]
    for attack, own in ((OWN, store.arrays(ids[OWN])["success"]), (NOISE, before)):
        success = np.minimum(before, own)
        record = store.cell(ids[attack]).model_copy(
            update={
                "follows": follows,
                "metrics": {"r1": float(success.mean())},
                "attacked_queries": int(before.sum()) if attack == OWN else 0,
                "notes": [NOTE] if attack == NOISE else [],
            }
        )
        store.save_cell(record, {"success": success, "before": before, "own": own})
    run = Run(store)
    (table,) = collect(run)
    rank(run, table)
    return run, table, store, ids


def test_the_worst_case_is_that_of_all_attacks(cascaded):
    _, table, store, ids = cascaded
    worst = np.minimum.reduce([store.arrays(cell)["success"] for cell in ids.values()])
    assert table.rows[0].mean("worst_r1") == pytest.approx(worst.mean())


def test_a_running_minimum_is_never_shown_as_an_attack_alone(cascaded):
    run, table, _, _ = cascaded
    row = table.rows[0]
    assert set(row.standalone(RETRIEVAL, "r1")) == {NEIGHBOUR}
    assert set(row.remaining(RETRIEVAL, "r1")) == {OWN, NOISE}
    assert row.worst_attack(RETRIEVAL, "r1") == NEIGHBOUR
    assert leaderboard_frame(run, [table])["worst_attack_retrieval"].tolist() == [NEIGHBOUR]
    attacks = make_row(table, row).attacks
    assert np.isnan(attacks[OWN].r1) and attacks[OWN].ami > 0 and attacks[NEIGHBOUR].r1 > 0


def test_the_table_of_attacks_marks_what_is_left_after_several(cascaded):
    _, table, _, _ = cascaded
    lines = {line.split("|")[1].strip(" `"): line.split("|")[2].strip() for line in attacks_board(table)}
    assert lines[OWN].endswith(" \u2021") and lines[NOISE].endswith(" \u2021")
    assert "\u2021" not in lines["pgd_decay neighbour"] + lines["**worst case**"] + lines["*clean*"]


def test_the_rise_without_an_attack_that_others_followed_is_a_bound(cascaded):
    run, table, store, ids = cascaded
    lines = {
        line.split("|")[1].strip(" `"): line.split("|")[2].strip() for line in ablation(run, table).board
    }
    assert " / \u2264 +" in lines["pgd_decay neighbour"]
    arrays = store.arrays(ids[OWN])
    rise = arrays["before"].mean() - arrays["success"].mean()
    assert lines[OWN].endswith(f" / +{100 * rise:.1f}") and rise > 0
    assert ablation(run, table).idle == [NOISE]


def test_the_rise_of_ami_after_which_attacks_on_the_pool_were_left_out_is_a_bound(cascaded):
    _, _, store, ids = cascaded
    for ref in store.manifest().cells:
        if ref.key.scenario == CLUSTERING and ref.key.attack == OWN:
            left_out = {"follows": [ids[NEIGHBOUR]], "metrics": {}, "attacked_queries": 0}
            store.save_cell(store.cell(ref.id).model_copy(update=left_out), store.arrays(ref.id))
    run = Run(store)
    (table,) = collect(run)
    (line,) = [line for line in ablation(run, table).board if "neighbour" in line]
    assert line.split("|")[2].strip().startswith("\u2264 +")


def test_what_was_not_attacked_is_said_below_the_table(cascaded):
    _, table, _, _ = cascaded
    assert unattacked_notes(table) == [f"`pgd_at`, 1 of its attacks: {NOTE}"]


def test_the_page_explains_the_marks(cascaded, tmp_path):
    run, table, _, _ = cascaded
    page = render(run, [table], [TableFigures()], tmp_path)
    assert "### Each attack\n" in page and "Each attack alone" not in page
    assert "\u2021: not alone." in page and "\u2264: at most" in page and NOTE in page


@pytest.mark.parametrize(("randomised", "follows"), [(True, True), (True, False), (False, True)])
def test_what_is_left_of_a_randomised_row_is_called_noisy(randomised, follows):
    rows = [SimpleNamespace(randomised=randomised, cells=[SimpleNamespace(follows_others=follows)])]
    assert ("may be below its worst case" in running_note(rows)) == (randomised and follows)


def test_the_page_of_another_suite_has_none_of_it(tmp_path):
    FakeRun().write(tmp_path)
    run = Run(Store(tmp_path))
    (table,) = collect(run)
    rank(run, table)
    page = render(run, [table], [TableFigures()], tmp_path)
    assert "### Each attack alone\n" in page
    assert not {"\u2021", "\u2264"} & set(page)


def test_the_heat_map_leaves_out_what_is_not_alone_and_says_so(cascaded):
    _, table, _, _ = cascaded
    figure = heatmap(table)
    retrieval = figure.axes[1]
    labels = [label.get_text() for label in retrieval.get_yticklabels()]
    assert len(labels) == 3  # clean, NEIGHBOUR, worst case
    assert any("only the queries that still stood" in text.get_text() for text in figure.texts)


def test_cells_say_how_many_queries_were_attacked_and_why_none(cascaded):
    run, _, store, ids = cascaded
    frame = cells_frame(run)
    frame = frame[(frame["scenario"] == RETRIEVAL) & (frame["metric"] == "r1")].set_index("attack")
    assert frame.loc[OWN, "attacked_queries"] == store.cell(ids[OWN]).attacked_queries > 0
    assert frame.loc[NOISE, ["attacked_queries", "note"]].tolist() == [0, NOTE]
    assert pd.isna(frame.loc[NEIGHBOUR, "attacked_queries"]) and frame.loc[NEIGHBOUR, "note"] == ""


def test_an_attack_that_not_all_seeds_needed_has_no_mean_alone(tmp_path):
    manifest = FakeRun(weakness={"pgd_at": 0.5}, references=(), curve={}).write(tmp_path)
    store = Store(tmp_path)
    for ref in manifest.cells:
        if ref.key.attack == OWN and ref.key.seed == 1:
            left_out = {"follows": ["x"], "attacked_queries": 0, "notes": [NOTE]}
            if ref.key.scenario != RETRIEVAL:
                left_out["metrics"] = {}
            store.save_cell(store.cell(ref.id).model_copy(update=left_out), store.arrays(ref.id))
    (table,) = collect(Run(store))
    (row,) = table.rows
    for scenario, metric in ((RETRIEVAL, "r1"), (CLUSTERING, "ami")):
        alone = row.standalone(scenario, metric)
        assert np.isnan(alone[OWN]) and alone[NEIGHBOUR] > 0
        assert row.worst_attack(scenario, metric) == NEIGHBOUR
