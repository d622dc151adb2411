import re

import pytest

from benchmark.report.clean_vs_worst import summary
from benchmark.report.conclusion import conclude
from benchmark.report.standing import Standing, listed

from .fake_run import CLUSTERING, NEIGHBOUR, NOISE, OWN, RETRIEVAL, FakeRun
from .own_models import OTHER, models_alone, models_beside_defenses

ALL = (OWN, NEIGHBOUR, NOISE)


def fake(*defenses, **more):
    weakness = {name: 0.1 + 0.2 * place for place, name in enumerate(defenses)}
    return FakeRun(
        **{"weakness": weakness, "references": (), "seeds": (0,), "curve": {}, "curve_eps": ()} | more
    )


CASES = {
    "references only": (
        fake("pixels", references=("pixels",)),
        "There is no rank, since only references were run; under attack (L∞ 0.1) pixels keeps",
    ),
    "one row": (fake("eat"), "eat, the only ranked defense, keeps"),
    "several rows": (
        fake("eat", "pgd_at", "vanilla", "pixels", references=("pixels",)),
        "eat is the most robust of 3 ranked defenses: it keeps",
    ),
    "a row with a dagger": (
        fake("eat", "pgd_at", "vanilla", checks={"eat": {"collapsed": "fail"}}),
        "pgd_at is the most robust of 3 ranked defenses: it keeps",
    ),
    "all others with a dagger": (
        fake("eat", "vanilla", checks={"eat": {"collapsed": "fail"}}),
        "vanilla is the most robust of 2 ranked defenses: it keeps",
    ),
    "all rows with a dagger": (
        fake("eat", "vanilla", checks={key: {"collapsed": "fail"} for key in ("eat", "vanilla")}),
        "eat is the most robust of 2 ranked defenses: it keeps",
    ),
    "a row that lacks a cell": (
        fake("eat", "pgd_at", "vanilla", failed_attacks={("eat", NOISE): "no"}),
        "pgd_at is the most robust of 3 ranked defenses: it keeps",
    ),
    "a row of which all attacks failed": (
        fake("eat", "pgd_at", "vanilla", failed_attacks={("eat", attack): "no" for attack in ALL}),
        "pgd_at is the most robust of 2 ranked defenses (eat has no rank): it keeps",
    ),
    "all rows failed": (
        fake("eat", failed_attacks={("eat", attack): "no" for attack in ALL}),
        "There is no rank, since no attack with budget L∞ 0.1 is done on any defense",
    ),
    "all rows but a reference failed": (
        fake(
            "eat", "pixels", references=("pixels",), failed_attacks={("eat", attack): "no" for attack in ALL}
        ),
        "There is no rank, since no defense has a worst-case AMI; under attack (L∞ 0.1) pixels keeps",
    ),
    "retrieval only": (
        fake("eat", "vanilla", scenarios=(RETRIEVAL,)),
        "eat is the most robust of 2 ranked defenses: it keeps",
    ),
    "own models": (
        models_beside_defenses(),
        f"pgd_at is the most robust of 4 ranked models ({OTHER.rpartition('/')[2]} has no rank): it keeps",
    ),
    "own models alone": (
        models_alone(),
        f"net.py:make[weights=net.safetensors], the only ranked model "
        f"({OTHER.rpartition('/')[2]} has no rank), keeps",
    ),
    "own models without a rank": (
        models_alone(weakness={OTHER: 0.5, "pixels": 0.6}, failed_attacks={}),
        "There is no rank, since no row may have one; under attack (L∞ 0.1) net.onnx keeps",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_title_of_the_first_figure_and_the_conclusion_agree(tables_of, case):
    run, said = CASES[case]
    table = tables_of(run)[1][0]
    concluded = conclude(table)[0].replace("`", "")
    assert concluded.startswith(said)
    # The title marks rows that fail a check, and has no room for the rows without a rank.
    title = summary(table)
    assert title.replace(" \u2020", "").startswith(re.sub(r" \([^()]* ha(s|ve) no rank\)", "", said))
    metric = "AMI" if table.has(CLUSTERING) else "R@1"
    assert (
        re.findall(rf"(-?[\d.]+)(?: ± [\d.]+)? % {metric}", concluded)[:1]
        == (re.findall(rf"keeps? (-?[\d.]+) % {metric}", title)[:1])
    )
    assert re.findall(r"\d+ ranked \w+", title) == re.findall(r"\d+ ranked \w+", concluded)


def test_the_title_marks_what_fails_a_check_and_says_when_only_such_rows_follow(tables_of):
    def title(case):
        return summary(tables_of(CASES[case][0])[1][0])

    assert "; vanilla keeps" in title("a row with a dagger")
    assert title("all others with a dagger").endswith(", ahead of eat \u2020, which fails a check")
    assert title("all rows with a dagger").startswith("eat \u2020 is the most robust")
    assert "eat" not in title("a row that lacks a cell")


def test_ties_are_said_alike(tables_of):
    table = tables_of(CASES["several rows"][0])[1][0]
    first, second = table.rows[:2]
    second.rank, second.seeds = 1, first.seeds
    said = "share the first rank: both keep"
    assert summary(table).startswith(f"eat and pgd_at {said} ")
    assert conclude(table)[0].startswith(f"`eat` and `pgd_at` {said} ")


def test_another_compute_mode_is_named_in_both(tables_of):
    _, tables = tables_of(fake("eat", "vanilla", compute=("equal-epochs", "equal-passes")))
    assert "(L∞ 0.1, equal passes)" in summary(tables[1])
    assert "(L∞ 0.1, equal passes)" in conclude(tables[1])[0]
    assert Standing.of(tables[1]).count == "2 ranked defenses"


def test_of_many_names_some_are_counted():
    assert [listed("abcdef"[:count]) for count in (1, 2, 4, 5)] == [
        "a",
        "a and b",
        "a, b, c and d",
        "a, b, c and 2 others",
    ]
