import pytest

from benchmark.report.eps_curves import eps_curves
from benchmark.report.style import line_styles

from .fake_run import NEIGHBOUR, FakeRun

POOLED = "pgd_decay[objective=information]"


def drawn(run, table):
    return eps_curves(run, table, line_styles((row.defense for row in table.rows), ["pixels"]))


def title(figure):
    """The title without its end, which is always the same: the table is of the worst case of many."""
    said = figure.get_suptitle().replace("\n", " ").replace("\u00a0", " ")
    assert said.endswith(", under one attack")
    return said.removesuffix(", under one attack")


def test_each_metric_has_one_panel_of_the_strongest_attack(tables_of):
    budgets = (0.025, 0.05, 0.15, 0.2)
    run, (table,) = tables_of(
        FakeRun(curve={NEIGHBOUR: 0.5, POOLED: 1.0}, curve_eps=(*budgets, 0.1), seeds=(0,))
    )
    panels = [axes for axes in drawn(run, table).axes if axes.lines]
    titles = [axes.get_title(loc="left").replace("\n", " ") for axes in panels]
    assert titles == [f"AMI under {POOLED}", f"R@1 under {POOLED}"]
    assert list(panels[0].get_xticks()) == sorted([0.0, 0.1, *budgets])


@pytest.mark.parametrize(
    ("weakness", "expected"),
    [
        ({"vanilla": 0.95, "pgd_at": 0.1}, "pgd_at keeps the most AMI at every budget, and "),
        ({"vanilla": 0.95}, "vanilla keeps "),
    ],
)
def test_the_title_says_which_row_keeps_the_most(tables_of, weakness, expected):
    run, (table,) = tables_of(FakeRun(weakness=weakness, references=(), seeds=(0,)))
    assert title(drawn(run, table)).startswith(expected)


def test_a_title_that_depends_on_the_budget_names_both_rows(tables_of):
    run, (table,) = tables_of(FakeRun(weakness={"a": 0.1, "b": 0.3}, references=(), seeds=(0,)))
    for cell in run.table_cells:
        low = cell.key.eps < 0.07
        value = {"a": 0.2 if low else 0.6, "b": 0.9 if low else 0.1}[cell.key.defense]
        cell.record.metrics["ami"] = value
    said = title(drawn(run, table))
    assert (
        said == "Which defense keeps the most AMI depends on the budget: b at L\u221e 0.05, a at L\u221e 0.2"
    )


def test_the_title_says_nothing_of_budgets_that_leave_no_row_anything(tables_of):
    run, (table,) = tables_of(FakeRun(weakness={"a": 0.1, "b": 0.3}, references=(), seeds=(0,)))
    for cell in run.table_cells:
        at_most = cell.key.eps < 0.15
        value = {"a": 0.6 if at_most else -0.1, "b": 0.3 if at_most else 0.0}[cell.key.defense]
        cell.record.metrics["ami"] = value
    said = title(drawn(run, table))
    assert said == "a keeps the most AMI at every budget up to L\u221e 0.1, and 60 % there"


def test_a_row_that_the_seeds_do_not_tell_from_the_best_is_not_said_to_keep_less(tables_of):
    run, (table,) = tables_of(FakeRun(weakness={"a": 0.1, "b": 0.3}, references=()))
    for cell in run.table_cells:
        values = {"a": (0.6, 0.6), "b": (0.3, 0.3)}
        if cell.key.eps > 0.15:
            values = {"a": (0.2, 0.4), "b": (0.35, 0.36)}
        cell.record.metrics["ami"] = values[cell.key.defense][cell.key.seed]
    said = title(drawn(run, table))
    assert said == (
        "At no budget up to L\u221e 0.2 does another defense clearly keep more AMI than a, 30 % there"
    )


def test_a_row_whose_best_seed_is_above_the_worst_of_the_best_does_not_keep_the_most(tables_of):
    run, (table,) = tables_of(FakeRun(weakness={"a": 0.1, "b": 0.3}, references=()))
    for cell in run.table_cells:
        cell.record.metrics["ami"] = {"a": (0.4, 0.5), "b": (0.2, 0.42)}[cell.key.defense][cell.key.seed]
    said = title(drawn(run, table))
    assert said == "a keeps the most AMI at every budget, and 45 % at the largest (L\u221e 0.2)"


def test_a_budget_at_which_some_seeds_were_not_attacked_has_no_point(tables_of):
    run, (table,) = tables_of(FakeRun(weakness={"a": 0.1, "b": 0.3}, references=()))
    for cell in run.table_cells:
        if cell.key.eps > 0.15 and (cell.key.defense, cell.key.seed) == ("b", 1):
            left_out = cell.record.model_copy(update={"attacked_queries": 0, "metrics": {}})
            object.__setattr__(cell, "record", left_out)
    figure = drawn(run, table)
    panel = figure.axes[0]
    budgets = {line.get_label(): line.lines[0].get_xdata().tolist() for line in panel.containers}
    assert budgets == {"a": [0.0, 0.05, 0.1, 0.2], "b": [0.0, 0.05, 0.1]}
    assert title(figure).startswith("a keeps the most AMI at every budget, and ")  # what b keeps is less
    for cell in run.table_cells:
        if cell.key.eps > 0.15 and (cell.key.defense, cell.key.seed) == ("b", 0):
            cell.record.metrics["ami"] = 0.99
    assert title(drawn(run, table)).startswith("a keeps the most AMI at every budget up to L\u221e 0.1, and ")


def test_long_labels_of_budgets_that_stand_close_are_left_out(tables_of):
    budgets = tuple(factor / 255 for factor in (0.25, 0.5, 1.5, 2.0))
    run, (table,) = tables_of(FakeRun(eps=(1 / 255,), curve_eps=budgets, seeds=(0,)))
    axes = drawn(run, table).axes[0]
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert labels == ["0", "", "0.5/255", "1/255", "1.5/255", "2/255"]


def test_one_budget_is_no_curve(tables_of):
    run, (table,) = tables_of(FakeRun(curve={}, seeds=(0,)))
    assert drawn(run, table) is None
