"""Which attacks of a cascade run on the whole pool, and which on what stands after which others."""

import pytest

from attacks import ATTACKS, expand
from benchmark.jobs import AttackJob
from benchmark.planning.plan_text import describe_plan
from benchmark.planning.todo import find_todo
from benchmark.records import CLEAN, Store
from defenses import DEFENSES

from .plans import plan

REFERENCE, INFORMATION, *WHITE = expand(["standard"])[:5]
SQUARE, CLUSTER_SQUARE, TRANSFER, ROBUST, NOISE = expand(["standard"])[7:]
SHARP = WHITE[0]
WHOLE = (REFERENCE, INFORMATION, CLUSTER_SQUARE)
QUERY = "retrieval-query"


def jobs(made, defense="pgd_at", **more) -> dict[str, AttackJob]:
    """The attack jobs on one model, by attack (and by role where an attack has several)."""
    found = {}
    for planned in made.attacks:
        if planned.job.key.defense == defense:
            name = planned.job.attack
            assert name not in found or not more.get("single", True)
            found[name] = planned.job
    return found


def cascade(tmp_path, **arguments):
    return plan(tmp_path, **{"defenses": "pgd_at", "attacks": "cascade", **arguments})


def followed(found: dict[str, AttackJob], attack: str) -> set[str]:
    """The attacks that one of them follows, by the cells of the scenario of single queries."""
    by_cell = {job.cells[QUERY]: name for name, job in found.items() if QUERY in job.cells}
    return {by_cell[cell] for cell in found[attack].follows}


def test_the_first_and_pooled_attacks_are_whole_and_the_rest_follow_the_white_box(tmp_path):
    found = jobs(cascade(tmp_path))
    # Not ROBUST: its source is this row.
    assert set(found) == {CLEAN, *WHOLE, *WHITE, SQUARE, TRANSFER, NOISE}
    for attack in WHOLE:
        assert set(found[attack].cells) == {"clustering", QUERY} and not found[attack].follows
    for attack in (*WHITE, SQUARE, TRANSFER, NOISE):
        assert set(found[attack].cells) == {QUERY}
    for number, attack in enumerate(WHITE):
        assert followed(found, attack) == {CLEAN, REFERENCE, INFORMATION, *WHITE[:number]}
    for attack in (SQUARE, TRANSFER, NOISE):
        assert followed(found, attack) == {CLEAN, REFERENCE, INFORMATION, *WHITE}


def test_whole_cells_are_those_of_the_standard_suite_and_the_others_are_not(tmp_path):
    standard, made = jobs(plan(tmp_path, defenses="pgd_at", attacks="standard")), jobs(cascade(tmp_path))
    assert all(made[attack].cells == standard[attack].cells for attack in (CLEAN, *WHOLE))
    assert made[SQUARE].cells[QUERY] != standard[SQUARE].cells[QUERY]
    assert not any(job.follows for job in standard.values())


def test_what_a_cell_follows_is_part_of_its_identity(tmp_path):
    adaptive = jobs(cascade(tmp_path, defenses="adp"), "adp")
    (extra,) = (name for name in adaptive if name in expand(DEFENSES.build("adp").adaptive))
    assert followed(adaptive, extra) >= {REFERENCE, INFORMATION, SHARP}
    assert extra in followed(adaptive, SQUARE)  # the white box first
    alone, beside = jobs(cascade(tmp_path)), jobs(cascade(tmp_path, attacks="cascade,mi_fgsm"))
    assert alone[SHARP].cells != beside[SHARP].cells  # one follows mi_fgsm too
    assert alone[REFERENCE].cells == beside[REFERENCE].cells


def test_what_is_asked_for_beside_it_runs_on_the_whole_pool(tmp_path):
    found = jobs(cascade(tmp_path, attacks=f"cascade,{SHARP}"))
    assert set(found[SHARP].cells) == {"clustering", QUERY} and not found[SHARP].follows
    assert SHARP in followed(found, SQUARE)
    assert not any(job.follows for job in jobs(cascade(tmp_path, attacks="cascade,standard")).values())


def test_attacks_of_the_plot_over_budgets_run_on_the_whole_pool(tmp_path):
    curve = {"attacks": [SHARP], "factors": [1.0]}
    made = cascade(tmp_path, curve=curve)
    assert not jobs(made)[SHARP].follows


def test_attacks_of_the_plot_are_left_out_where_the_suite_brings_their_metric_to_chance(tmp_path):
    pooled = "pgd_decay[objective=information]"
    curve = {"attacks": [REFERENCE, pooled], "factors": [0.5, 1.0, 2.0]}
    made = cascade(tmp_path, curve=curve)
    found = {(p.job.attack, p.job.eps): p.job for p in made.attacks if p.job.key.defense == "pgd_at"}
    (eps,) = {eps for attack, eps in found if attack == INFORMATION}
    queries = tuple(found[at].cells[QUERY] for at in ((CLEAN, 0.0), (REFERENCE, eps), (INFORMATION, eps)))
    clusters = tuple(found[attack, eps].cells["clustering"] for attack in (REFERENCE, INFORMATION))
    for at in ((REFERENCE, eps / 2), (REFERENCE, eps), (pooled, eps / 2), (INFORMATION, eps)):
        assert found[at].at_chance is None
    for at in ((pooled, eps), (pooled, 2 * eps)):
        assert (found[at].at_chance.queries, found[at].at_chance.clusters) == (queries, clusters)
    rule = found[REFERENCE, 2 * eps].at_chance
    assert (rule.queries, rule.clusters) == (queries, ())
    todo = {
        (job.attack, job.eps): job
        for job in find_todo(made, Store(tmp_path)).attacks
        if job.key.defense == "pgd_at"
    }
    assert set(todo[pooled, eps].waits_for) == {
        found[at].id for at in ((CLEAN, 0.0), (REFERENCE, eps), (INFORMATION, eps))
    }
    whole = plan(tmp_path, defenses="pgd_at", attacks="standard", curve=curve)
    assert not any(planned.job.at_chance for planned in whole.attacks)
    assert found[pooled, eps / 2].id in {planned.job.id for planned in whole.attacks}
    assert found[pooled, eps].id not in {planned.job.id for planned in whole.attacks}


def test_the_embeddings_of_the_clean_pool_are_those_of_a_model_and_of_its_evaluation(tmp_path):
    found = [planned.job for planned in cascade(tmp_path).attacks]
    by_model = {}
    for job in found:
        by_model.setdefault(job.key.defense, set()).add(job.clean_pool)
    assert all(len(ids) == 1 for ids in by_model.values()) and "" not in by_model["pgd_at"]
    transfer = next(job for job in found if job.source is not None)
    assert transfer.source_clean_pool and transfer.source_clean_pool not in by_model["pgd_at"]
    (other,) = {
        planned.job.clean_pool
        for planned in cascade(tmp_path, evaluation={"repeats": 3}).attacks
        if planned.job.key.defense == "pgd_at"
    }
    assert {other} != by_model["pgd_at"]


def test_another_scenario_has_the_whole_attacks_and_those_made_for_it(tmp_path):
    found = jobs(cascade(tmp_path, scenarios="retrieval-gallery"))
    made_for = "pgd_decay[objective=gallery_away]"
    assert set(found) == {CLEAN, *WHOLE, ATTACKS.build(made_for).spec}
    assert not any(job.follows for job in found.values())
    both = cascade(tmp_path, scenarios=f"retrieval-gallery,{QUERY}")
    assert jobs(both)[ATTACKS.build(made_for).spec].cells.keys() == {"retrieval-gallery"}


def test_what_it_leaves_out_is_said(tmp_path):
    made = cascade(tmp_path, scenarios="clustering")
    assert set(jobs(made)) == {CLEAN, *WHOLE}
    said = [line for line in made.left_out() if line.endswith("on single queries that still stand")]
    assert {line.split(", which")[0] for line in said} == {*WHITE, SQUARE, TRANSFER, ROBUST, NOISE}
    assert not any("still stand" in line for line in cascade(tmp_path).left_out())


def test_the_checks_follow_the_reference_and_have_no_second_cell_of_an_attack(tmp_path):
    made = cascade(tmp_path, checks=True)
    roles = {}
    for planned in made.attacks:
        if planned.job.key.defense == "pgd_at":
            at = planned.job.attack, planned.job.eps
            roles.setdefault(at, []).append(planned)
    assert all(len(found) == 1 for at, found in roles.items() if QUERY in found[0].job.cells)
    by_cell = {planned.job.cells[QUERY]: at for at, (planned,) in roles.items() if QUERY in planned.job.cells}

    def after(attack):
        ((_, (planned,)),) = [item for item in roles.items() if item[0][0] == attack]
        return planned.job, {by_cell[cell] for cell in planned.job.follows}

    reference = sorted(eps for attack, eps in roles if attack == REFERENCE)
    assert len(reference) == 3
    doubled, followed_by_doubled = after("pgd_decay[objective=neighbour,steps=80]")
    assert followed_by_doubled == {(CLEAN, 0.0), (REFERENCE, reference[1])} and doubled.until_chance
    unbounded, followed_by_unbounded = after("bim[objective=neighbour]")
    assert followed_by_unbounded == {(CLEAN, 0.0), (REFERENCE, reference[2])}
    assert not unbounded.until_chance  # the check compares what is left with 0
    assert after("fgsm[objective=neighbour]")[1] == set()


@pytest.mark.parametrize("scenarios", ["clustering", QUERY])
def test_the_checks_of_another_suite_are_whole(tmp_path, scenarios):
    made = plan(tmp_path, attacks="standard", checks=True, scenarios=scenarios)
    assert not any(planned.job.follows for planned in made.attacks)


def test_a_job_waits_for_those_that_compute_what_it_follows(tmp_path):
    made, store = cascade(tmp_path), Store(tmp_path)
    todo = {job.attack: job for job in find_todo(made, store).attacks if job.key.defense == "pgd_at"}
    assert set(todo[SHARP].waits_for) == {todo[attack].id for attack in (CLEAN, REFERENCE, INFORMATION)}
    name = todo[SHARP].needs[todo[REFERENCE].id]
    assert name == f"{todo[REFERENCE].label}, which this attack follows,"
    assert todo[REFERENCE].waits_for == {}


def test_a_job_does_not_wait_for_cells_that_it_does_not_follow(tmp_path, monkeypatch):
    made, store = cascade(tmp_path), Store(tmp_path)
    found = jobs(made)
    # All is done but the clustering of the reference attack, whose job has another id then.
    left = {found[REFERENCE].cells["clustering"], *found[SHARP].cells.values()}
    monkeypatch.setattr(Store, "finished", lambda self, cell: cell not in left)
    todo = {job.attack: job for job in find_todo(made, store).attacks if job.key.defense == "pgd_at"}
    assert set(todo) == {REFERENCE, SHARP}
    assert todo[SHARP].waits_for == {}


def test_costs_are_said_to_be_bounds(tmp_path):
    made = cascade(tmp_path)
    todo = find_todo(made, Store(tmp_path))
    assert "costs are at most these" in describe_plan(made, todo, {job.id: 1.0 for job in todo.jobs})
    made = plan(tmp_path, attacks="standard")
    todo = find_todo(made, Store(tmp_path))
    assert "at most" not in describe_plan(made, todo, {job.id: 1.0 for job in todo.jobs})
