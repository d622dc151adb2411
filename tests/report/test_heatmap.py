from matplotlib.text import Text

from benchmark.report.boards import MARK
from benchmark.report.heatmap import attacks_alone, heatmap

from .fake_run import CLUSTERING, NEIGHBOUR, NOISE, OWN, RETRIEVAL, FakeRun

POOLED = "pgd_decay[objective=information]"


def title(figure):
    return figure.get_suptitle().replace("\n", " ")


def test_an_attack_of_the_curve_that_is_the_worst_has_a_line_and_the_title(tables_of):
    fake = FakeRun(curve={POOLED: 3.0}, curve_eps=(0.05, 0.1), seeds=(0,))
    _, (table,) = tables_of(fake)
    assert {row.worst_attack(CLUSTERING, "ami") for row in table.rows if not row.reference} == {POOLED}
    assert attacks_alone(table, CLUSTERING, "ami") == sorted([OWN, NEIGHBOUR, NOISE, POOLED])
    assert attacks_alone(table, RETRIEVAL, "r1") == sorted([OWN, NEIGHBOUR, NOISE])
    assert title(heatmap(table)) == f"{table.names.attack(POOLED)} alone lowers AMI most, for every defense"


def test_the_title_counts_the_rows_for_which_an_attack_is_the_strongest(tables_of):
    _, (table,) = tables_of(FakeRun(weakness={"a": 0.1, "b": 0.3, "c": 0.5}, references=(), seeds=(0,)))
    for row, strongest in (("a", OWN), ("b", NEIGHBOUR), ("c", NEIGHBOUR)):
        for cell in next(one for one in table.rows if one.name == row).cells:
            cell.record.metrics["ami"] = 0.1 if cell.key.attack == strongest else 0.5
    name = table.names.attack(NEIGHBOUR)
    assert title(heatmap(table)) == f"{name} alone lowers AMI most for 2 of the 3 defenses"
    for cell in table.rows[1].cells:
        cell.record.metrics["ami"] = 0.1 if cell.key.attack == NOISE else 0.5
    assert title(heatmap(table)).startswith("No one attack is strongest: AMI is lowered most by 3 different")


def test_the_title_does_not_speak_for_rows_under_one_attack_alone(tables_of):
    fake = FakeRun(weakness={"a": 0.1, "b": 0.3, "c": 0.5}, references=(), seeds=(0,), curve={})
    fake.missing, fake.attacks = {("c", OWN)}, {OWN: 1.0, NOISE: 0.1}
    _, (table,) = tables_of(fake)
    name = table.names.attack(OWN)
    assert title(heatmap(table)) == (
        f"{name} alone lowers AMI most for 2 of the 2 defenses that it can be compared on"
    )


def test_an_attack_without_a_metric_has_no_line(tables_of):
    fake = FakeRun(seeds=(0,))
    fake.missing = {(defense, OWN) for defense in fake.weakness}
    _, (table,) = tables_of(fake)
    figure = heatmap(table)
    labels = [label.get_text().replace("\n", "") for label in figure.axes[0].get_yticklabels()]
    assert labels == ["clean", NOISE, table.names.attack(NEIGHBOUR), "worst case"]


def test_rows_that_fail_a_check_are_marked_and_no_headline(tables_of):
    _, (table,) = tables_of(FakeRun(checks={"vanilla": {"collapsed": "fail"}}, seeds=(0,)))
    figure = heatmap(table)
    assert f"vanilla {MARK}" in [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert f"{MARK}: fails a check" in figure.get_supxlabel().replace("\n", " ")
    assert "-0" not in [text.get_text() for text in figure.findobj(Text)]
