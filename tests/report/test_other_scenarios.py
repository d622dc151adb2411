import pytest

from benchmark.records import Store
from benchmark.report.cell_results import Run
from benchmark.report.other_scenarios import scenarios_board
from benchmark.report.tables import collect

from .fake_run import BOTH, CLUSTERING, NEIGHBOUR, FakeRun


def cells_of(lines):
    """{(first cell, head): cell} of a table."""
    heads, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {(row[0], head): cell for row in rows for head, cell in zip(heads[1:], row[1:], strict=True)}


@pytest.fixture
def with_more(tmp_path):
    """A run with other scenarios, whose metrics replace the fake's."""
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


@pytest.mark.slow
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


def test_without_other_scenarios_there_is_no_board(tables_of):
    _, (table,) = tables_of(FakeRun())
    assert scenarios_board(table) == []
