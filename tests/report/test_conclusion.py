import re

import numpy as np
import pytest

from benchmark.records.covariances import Covariances
from benchmark.report.conclusion import conclude
from benchmark.report.differences import Differences
from benchmark.report.rows import SeedScores

from .fake_run import CLUSTERING, NEIGHBOUR, NOISE, OWN, RETRIEVAL, FakeRun
from .own_models import models_alone, models_beside_defenses

CONTROLS = {"ensemble_at": ["eat"]}


def with_scores(table, noise=0.001, **scores):
    """Gives the rows worst AMI and R@1 and ranks by hand, and orders them by rank.

    Args:
        table: a table.
        noise: deviation of each score over images.
        scores: worst AMI and R@1 of each row, and its rank unless it has none.
    """
    for row in table.rows:
        if row.defense in scores:
            ami, r1, *rank = scores[row.defense]
            row.seeds = [SeedScores(0, clean_ami=0.9, clean_r1=0.95, worst_ami=ami, worst_r1=r1)]
            (row.rank,) = rank or (None,)
    table.rows.sort(key=lambda row: (row.rank is None, row.rank or 0))
    for place, metric in enumerate(("ami", "r1")):
        of = {defense: [found[place]] for defense, found in scores.items()}
        matrix = (noise**2 * np.eye(len(of))).tolist()
        scatter = Covariances(rows=list(of), matrix=matrix, freedom=99, own=[(0.0, 1)] * len(of))
        table.differences[metric] = Differences(of, scatter)
    return table


def table_of(tables_of, *defenses, **more):
    fake = {"references": (), "seeds": (0,), "curve": {}, "curve_eps": ()}
    _, (table,) = tables_of(FakeRun(weakness=dict.fromkeys(defenses, 0.5), **{**fake, **more}))
    return table


def test_it_says_who_wins_by_how_much_and_at_what_cost(tables_of):
    table = table_of(tables_of, "eat", "pgd_at", "vanilla")
    with_scores(table, eat=(0.7, 0.8, 1), pgd_at=(0.65, 0.77, 2), vanilla=(0.0, 0.1, 3))
    first, _, _ = conclude(table)
    assert first == (
        "`eat` is the most robust of 3 ranked defenses: it keeps 70.0 % AMI (clean 90.0 %) and 80.0 % R@1 "
        "(clean 95.0 %) under attack (L∞ 0.1), +5.0 points of AMI and +3.0 points of R@1 compared with "
        "`pgd_at`, the next; it costs 4.00 \u00d7 vanilla training (`pgd_at`: 4.00) and 3.00 \u00d7 "
        "embedding an image (`pgd_at`: 1.00)."
    )


@pytest.mark.parametrize(
    ("noise", "said", "doubted"),
    [(0.1, "a lead that the run", True), (0.01, "a lead in AMI that the run", True), (0.001, "", False)],
)
def test_a_lead_that_may_be_chance_is_not_settled(tables_of, noise, said, doubted):
    table = table_of(tables_of, "eat", "pgd_at")
    with_scores(table, noise, eat=(0.7, 0.8, 1), pgd_at=(0.69, 0.77, 2))
    first, _, last = conclude(table)
    assert (f", {said} does not settle" in first) == bool(said)
    assert ("settle" in first) == bool(said)
    assert ("the order of `eat` and `pgd_at`, which the run does not settle" in last) == doubted


def test_a_row_that_leads_in_one_metric_has_no_lead_in_the_other(tables_of):
    table = table_of(tables_of, "eat", "pgd_at")
    with_scores(table, 0.01, eat=(0.8, 0.76, 1), pgd_at=(0.7, 0.77, 2))
    assert "a difference in R@1 that the run does not settle" in conclude(table)[0]


def test_rows_of_which_the_first_and_the_last_differ_are_two_groups(tables_of):
    table = table_of(tables_of, "a", "b", "c")
    with_scores(table, 0.01, a=(0.72, 0.8, 1), b=(0.70, 0.8, 2), c=(0.68, 0.8, 3))
    doubts = conclude(table)[2]
    assert "the order of `a` and `b`, or of `b` and `c`, which the run does not settle" in doubts


def test_rows_that_keep_nothing_have_no_order(tables_of):
    table = table_of(tables_of, "eat", "adp", "mixup", "vanilla")
    with_scores(table, eat=(0.7, 0.8, 1), adp=(-0.04, 0.0, 2), mixup=(-0.05, 0.0, 3), vanilla=(-0.08, 0.0, 4))
    assert (
        "the order of `adp`, `mixup` and `vanilla`, which keep no more AMI than chance" in conclude(table)[2]
    )
    with_scores(table, 1.0, eat=(0.7, 0.8, 1), adp=(0.1, 0, 2), mixup=(-0.05, 0, 3), vanilla=(-0.08, 0, 4))
    doubts = conclude(table)[2]
    assert "the order of `eat`, `adp`, `mixup` and `vanilla`, which the run does not settle" in doubts
    assert "of `mixup` and `vanilla`, which keep no more AMI than chance" in doubts


@pytest.mark.parametrize(
    ("eat", "said"),
    [
        (0.7, "`eat` beats its control `ensemble_at` (70.0 and 65.0 % AMI)."),
        (0.6, "`eat` does not beat its control `ensemble_at` (60.0 and 65.0 % AMI)."),
        (0.66, "`eat` does not differ clearly from its control `ensemble_at` (66.0 and 65.0 % AMI)."),
    ],
)
def test_controls_are_compared_with_what_they_control(tables_of, eat, said):
    table = table_of(tables_of, "eat", "ensemble_at", controls=CONTROLS)
    rank = 1 if eat > 0.65 else 2
    with_scores(table, 0.01, eat=(eat, 0.8, rank), ensemble_at=(0.65, 0.8, 3 - rank))
    assert conclude(table)[1] == f"Controls: {said}"


@pytest.mark.parametrize("fails", ["eat", "ensemble_at"])
def test_a_row_that_fails_a_check_is_not_compared_with_its_control(tables_of, fails):
    checks = {fails: {"collapsed": "fail"}}
    table = table_of(tables_of, "eat", "ensemble_at", controls=CONTROLS, checks=checks)
    with_scores(table, eat=(0.7, 0.8, 1), ensemble_at=(0.65, 0.8, 2))
    said = "`eat` cannot be compared with its control `ensemble_at` (70.0 and 65.0 % AMI)"
    assert f"{said}, since `{fails}` fails a check." in conclude(table)[1]


def test_a_difference_whose_arrays_are_gone_is_not_tested(tables_of):
    table = table_of(tables_of, "eat", "ensemble_at", controls=CONTROLS)
    with_scores(table, eat=(0.7, 0.8, 1), ensemble_at=(0.65, 0.8, 2))
    table.differences.clear()
    first, controls, doubts = conclude(table)
    assert (
        "`eat` keeps more than its control `ensemble_at` (70.0 and 65.0 % AMI), which was not tested"
        in controls
    )
    assert "settle" not in first + doubts and "the next, which was not tested" in first


def test_a_control_that_was_not_run_is_missed(tables_of):
    table = table_of(tables_of, "eat[members=3]", "pgd_at", controls=CONTROLS)
    said = conclude(table)[1]
    assert "`eat[members=3]` was run without its control `ensemble_at`, so this board does not say" in said


def test_references_and_the_undefended_row_are_compared_with(tables_of):
    table = table_of(tables_of, "pgd_at", "vanilla", "pixels", references=("pixels",))
    with_scores(table, pgd_at=(0.5, 0.5, 1), vanilla=(0.1, 0.1, 2), pixels=(0.3, 0.3))
    controls = conclude(table)[1]
    assert "the reference `pixels` keeps 30.0 % AMI, more than 1 of 2 ranked defenses (`vanilla`)" in controls
    assert "`vanilla`, without a defense, falls from 90.0 to 10.0 % AMI." in controls
    with_scores(table, pgd_at=(0.05, 0.5, 2), vanilla=(0.1, 0.1, 1), pixels=(0.0, 0.0))
    controls = conclude(table)[1]
    assert "no more than any of 2 ranked defenses" in controls
    assert "and no other ranked defense keeps more" in controls
    with_scores(table, pgd_at=(0.05, 0.5, 2), vanilla=(0.1, 0.1, 1), pixels=(0.2, 0.2))
    controls = conclude(table)[1]
    assert (
        "the reference `pixels` keeps 20.0 % AMI, more than every one of the 2 ranked defenses;" in controls
    )
    assert "and no other ranked defense keeps more" in controls  # the reference does


@pytest.mark.parametrize(("pixels", "said"), [(0.95, "more"), (0.5, "no more")])
def test_one_defense_is_not_counted_and_one_that_loses_nothing_does_not_fall(tables_of, pixels, said):
    table = table_of(tables_of, "vanilla", "pixels", references=("pixels",))
    with_scores(table, vanilla=(0.8999, 0.9, 1), pixels=(pixels, 0.3))
    assert conclude(table)[1] == (
        f"Controls: the reference `pixels` keeps {100 * pixels:.1f} % AMI, {said} than the only ranked "
        "defense; `vanilla`, without a defense, stays at 90.0 % AMI."
    )


def test_one_row_has_nobody_to_lead(tables_of):
    first, controls, doubts = conclude(table_of(tables_of, "pgd_at"))
    assert first.startswith("`pgd_at`, the only ranked defense, keeps ")
    assert "the next" not in first
    assert controls == (
        "No control, reference or undefended row was run to compare with, so what a defense adds is unknown."
    )
    assert "the checks were not run" in doubts and "one training seed" in doubts


def test_ties_share_the_first_rank(tables_of):
    table = table_of(tables_of, "eat", "pgd_at")
    with_scores(table, eat=(0.7, 0.8, 1), pgd_at=(0.7, 0.8, 1))
    assert conclude(table)[0].startswith("`eat` and `pgd_at` share the first rank: both keep 70.0 % AMI")


def test_without_a_ranked_row_it_says_why(tables_of):
    table = table_of(tables_of, "pixels", references=("pixels",))
    first = conclude(table)[0]
    assert first.startswith(
        "There is no rank, since only references were run; under attack (L∞ 0.1) `pixels` keeps "
    )
    failed = {("pgd_at", attack): "no" for attack in (OWN, NEIGHBOUR, NOISE)}
    _, (table,) = tables_of(
        FakeRun(weakness={"pgd_at": 0.3}, references=(), failed_attacks=failed, curve={}), "none"
    )
    assert (
        conclude(table)[0] == "There is no rank, since no attack with budget L∞ 0.1 is done on any defense."
    )
    assert "which lack cells" in conclude(table)[2]


def test_own_models_have_no_training_cost(tables_of):
    _, tables = tables_of(models_alone())
    for sentence in conclude(tables[0]):
        assert "vanilla training" not in sentence and "nan" not in sentence
    _, tables = tables_of(models_beside_defenses(), "beside")
    assert "ranked models" in conclude(tables[0])[0]


def test_rows_that_fail_or_lack_something_are_doubted(tables_of):
    table = table_of(
        tables_of,
        "pgd_at",
        "vanilla",
        "noisy",
        checks={"vanilla": {"collapsed": "fail"}, "pgd_at": {"unbounded": "not run"}},
        failed_attacks={("noisy", NOISE): "no"},
        randomised=("noisy",),
    )
    doubts = conclude(table)[2]
    assert "the scores of `vanilla`, which fail checks" in doubts
    assert "the worst cases of `noisy`, which lack cells" in doubts
    assert "the last digits of `noisy`, whose embeddings are random" in doubts
    assert "that `pgd_at` would pass every check, since some were not run" in doubts
    assert "ahead of" in conclude(table)[0]


def test_several_seeds_have_deviations_and_one_scenario_one_metric(tables_of):
    table = table_of(tables_of, "pgd_at", "vanilla", seeds=(0, 1), scenarios=(RETRIEVAL,))
    text = " ".join(conclude(table))
    assert re.search(r"keeps \d+\.\d ± \d+\.\d % R@1", text)
    assert "AMI" not in text and "one training seed" not in text
    table = table_of(tables_of, "pgd_at", "vanilla", scenarios=(CLUSTERING,))
    assert "R@1" not in " ".join(conclude(table))


def test_many_rows_are_counted_not_named(tables_of):
    names = [f"d{number}" for number in range(6)]
    table = table_of(tables_of, *names, checks={name: {"collapsed": "fail"} for name in names})
    assert "`d0`, `d1`, `d2` and 3 others, which fail checks" in re.sub(
        r"the scores of (`\w+`), (`\w+`), (`\w+`)", "the scores of `d0`, `d1`, `d2`", conclude(table)[2]
    )


def test_other_compute_modes_say_which(tables_of):
    fake = FakeRun(
        weakness={"eat": 0.2, "vanilla": 0.9}, references=(), compute=("equal-epochs", "equal-passes")
    )
    _, tables = tables_of(fake)
    assert "equal passes" not in conclude(tables[0])[0]
    assert "(L∞ 0.1, equal passes)" in conclude(tables[1])[0]
