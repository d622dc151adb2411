import numpy as np
import pytest
from fake_run import BOTH, CLUSTERING, NEIGHBOUR, NOISE, OWN, RETRIEVAL, FakeRun

from benchmark.records.store import Store
from benchmark.report import write_report
from benchmark.report.ablation import ablation_board
from benchmark.report.cell_results import Run
from benchmark.report.other_scenarios import scenarios_board
from benchmark.report.tables import collect


def cells_of(lines):
    """{(first cell, head): cell} of a table."""
    heads, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {(row[0], head): cell for row in rows for head, cell in zip(heads[1:], row[1:], strict=True)}


def test_each_attack_is_worth_what_the_worst_case_loses_without_it(tables_of):
    run, (table,) = tables_of(FakeRun())
    board = cells_of(ablation_board(run, table))
    assert {attack for attack, _ in board} == {f"`{name}`" for name in (OWN, NEIGHBOUR, NOISE)}
    for row in table.rows:
        for attack in (OWN, NEIGHBOUR, NOISE):
            rises = []
            for figures in row.seeds:
                mine = [o for o in run.outcomes if (o.key.defense, o.key.seed) == (row.defense, figures.seed)]
                queries = [
                    run.arrays(o)["success"]
                    for o in mine
                    if o.key.scenario == RETRIEVAL
                    and o.key.attack != attack
                    and (o.ref.role == "clean" or (o.ref.role == "suite" and o.key.eps == 0.1))
                ]
                pools = [
                    o.metric("ami")
                    for o in mine
                    if o.key.scenario == CLUSTERING and o.key.attack != attack and o.key.eps <= 0.1
                ]
                worst = float(np.minimum.reduce(queries).astype(np.float64).mean())
                rises.append((min(pools) - figures.worst_ami, worst - figures.worst_r1))
            found = board[f"`{attack}`", f"`{row.defense}`"]
            expected = [
                "0" if abs(value) < 1e-9 else f"+{100 * value:.1f}" for value in np.mean(rises, axis=0)
            ]
            assert found == " / ".join(expected)
    assert any("+" in cell for cell in board.values())


def test_a_suite_of_one_attack_has_nothing_to_leave_out(tables_of):
    run, (table,) = tables_of(FakeRun(attacks={NOISE: 0.05}, curve={}))
    assert ablation_board(run, table) == []


@pytest.fixture
def with_more(tmp_path):
    """A run with a gallery, a share of the pool, and pairs, whose figures are written over the fake's."""
    FakeRun(scenarios=(*BOTH, "clustering[fraction=0.5]", "retrieval-gallery", "verification")).write(
        tmp_path
    )
    store = Store(tmp_path)
    for cell in store.manifest().cells:
        record, harm = store.cell(cell.id), cell.key.eps + (0.01 if NEIGHBOUR in cell.key.attack else 0)
        if cell.key.scenario == "retrieval-gallery":
            store.save_cell(record.model_copy(update={"metrics": {"r1": 0.9 - harm}}))
        if cell.key.scenario == "verification":
            metrics = {"tar_far_1e2": 0.8 - harm, "eer": 0.1 + harm}
            store.save_cell(record.model_copy(update={"metrics": metrics}))
    return tmp_path


def test_other_scenarios_show_the_worst_of_one_attack_whichever_way_is_worse(with_more):
    (table,) = collect(Run(Store(with_more)))
    board = cells_of(scenarios_board(table))
    column = "`pgd_at`"
    assert board["`retrieval-gallery`, R@1", column] == "90.0 \u2192 79.0"
    assert board["`verification`, TAR at FAR 1e-2", column] == "80.0 \u2192 69.0"
    assert board["`verification`, EER", column] == "10.0 \u2192 21.0"
    assert ("`clustering[fraction=0.5]`, AMI", column) in board
    assert len({name for name, _ in board}) == 4  # what was not measured has no line


def test_the_main_board_does_not_look_at_other_scenarios(with_more, tables_of):
    _, (plain,) = tables_of(FakeRun())
    (table,) = collect(Run(Store(with_more)))
    for row in plain.rows:
        match = next(r for r in table.rows if r.defense == row.defense)
        assert (match.mean("worst_ami"), match.mean("worst_r1")) == (
            row.mean("worst_ami"),
            row.mean("worst_r1"),
        )
        assert match.worst_attack(CLUSTERING, "ami") == row.worst_attack(CLUSTERING, "ami")
    page = (write_report(with_more)[2]).read_text()
    assert "### Other scenarios" in page and "retrieval-gallery" in page


def test_without_other_scenarios_there_is_no_board(tables_of):
    _, (table,) = tables_of(FakeRun())
    assert scenarios_board(table) == []
