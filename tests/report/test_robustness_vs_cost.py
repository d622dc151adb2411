import pytest

from benchmark.report.robustness_vs_cost import pareto_front, robustness_vs_cost
from benchmark.report.style import line_styles

from .fake_run import FakeRun

COSTS = {"vanilla": 1.0, "pgd_at": 3.0, "trades": 4.0, "eat": 8.0}
WEAKNESS = {"vanilla": 0.95, "pgd_at": 0.3, "trades": 0.6, "eat": 0.1, "pixels": 0.9}


@pytest.fixture
def table(tables_of):
    training = {name: {"relative_cost": cost} for name, cost in COSTS.items()}
    return tables_of(FakeRun(weakness=WEAKNESS, training=training))[1][0]


def drawn(table):
    return robustness_vs_cost(table, line_styles((row.defense for row in table.rows), ["pixels"]))


def test_the_front_leaves_out_what_a_cheaper_row_beats(table):
    trained = [row for row in table.rows if not row.reference]
    assert [row.name for row in pareto_front(trained, "ami")] == ["vanilla", "pgd_at", "eat"]


def test_the_title_names_the_dearest_of_the_front_and_the_one_before(table):
    figure = drawn(table)
    title = figure.get_suptitle().replace("\n", " ").replace("\u00a0", " ")
    assert title.startswith("eat keeps the most AMI: ") and "at 8\u00d7 the cost of vanilla training" in title
    assert "; pgd_at keeps " in title and title.endswith(" at 3\u00d7")
    texts = {text.get_text() for text in figure.axes[0].texts}
    assert texts == {*COSTS, "pixels: not trained here"}


def test_equal_costs_are_no_figure(tables_of):
    training = {name: {"relative_cost": 9.0} for name in COSTS}
    _, (table,) = tables_of(FakeRun(weakness=WEAKNESS, training=training, seeds=(0,)))
    assert drawn(table) is None


def test_a_row_that_fails_a_check_is_not_on_the_front(tables_of):
    training = {name: {"relative_cost": cost} for name, cost in COSTS.items()}
    fake = FakeRun(weakness=WEAKNESS, training=training, seeds=(0,), checks={"eat": {"collapsed": "fail"}})
    _, (table,) = tables_of(fake)
    assert drawn(table).get_suptitle().startswith("pgd_at keeps the most AMI")
