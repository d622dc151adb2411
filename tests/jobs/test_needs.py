"""Defenses that are trained with trained models of others: planned, trained, loaded, paid for."""

from typing import ClassVar

import pytest
import torch

from benchmark.core.errors import UsageError
from benchmark.jobs import RunContext
from benchmark.jobs.costs import probe
from benchmark.planning.grid import build_grid
from benchmark.planning.resolve import resolve
from benchmark.planning.todo import find_todo
from defenses import DEFENSES, Defense

from .students import Cosines, Distilled, FineTuned

ASKED = {
    "datasets": "glyphs[classes=12,per_class=6]",
    "backbones": "smallconv[dim=8,width=0.25]",
    "attacks": "noise",
    "checks": False,
    "curve": {"attacks": [], "factors": []},
    "training": {"epochs": 2, "batch_size": 16, "inner_steps": 1, "validation": 0},
}


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    monkeypatch.setattr(DEFENSES, "_entries", dict(DEFENSES._entries))
    for name, cls in (("distilled", Distilled), ("fine_tuned", FineTuned), ("cosines", Cosines)):
        DEFENSES.register(name)(cls)


@pytest.fixture
def make(tmp_path_factory, tmp_path):
    cache = tmp_path_factory.getbasetemp() / "cache"
    context = RunContext(output=tmp_path, cache=cache, data=cache, device="cpu", commit="")

    def make(**arguments):
        return build_grid(resolve({**ASKED, **arguments}), context.folders), context

    return make


def run(grid, context):
    """Trains what is to do, in the order of the needs; returns the defenses' specs in that order."""
    waiting = find_todo(grid, context.store).trainings
    order = []
    while waiting:
        ids = {job.id for job in waiting}
        job = next(job for job in waiting if ids.isdisjoint(job.needs))
        assert job.execute(context) is None
        order.append(job.key.defense)
        waiting.remove(job)
    return order


def job_of(grid, defense, mode="equal-epochs"):
    (found,) = [
        m.job for m in grid.models if (m.job.key.defense, m.compute, m.has_row) == (defense, mode, True)
    ]
    return found


def test_what_is_needed_is_trained_first_without_a_row(make):
    grid, context = make(defenses="cosines")
    assert [m.job.key.defense for m in grid.models if not m.has_row] == ["vanilla", "distilled"]
    job = job_of(grid, "cosines")
    assert list(job.needs.values()) == ["training of distilled, which cosines needs,"]
    assert run(grid, context)[-3:] == ["vanilla", "distilled", "cosines"]
    assert find_todo(grid, context.store).trainings == []


def test_a_row_and_a_need_are_one_model(make):
    grid, _ = make(defenses="vanilla,distilled,fine_tuned")
    ids = {m.job.id for m in grid.models if m.job.key.defense == "vanilla"}
    assert len(ids) == 1
    assert list(job_of(grid, "distilled").needs) == list(ids)


def test_the_identity_holds_the_needed_models(make, monkeypatch):
    one, other = (
        make(defenses="distilled", training={**ASKED["training"], "lr": lr})[0] for lr in (0.1, 0.2)
    )
    assert (
        job_of(one, "distilled").teachers["vanilla"].id != job_of(other, "distilled").teachers["vanilla"].id
    )
    assert job_of(one, "distilled").id != job_of(other, "distilled").id


def test_a_held_model_is_as_it_was_trained_and_comes_back_from_the_checkpoint(make):
    grid, context = make(defenses="distilled,fine_tuned")
    Distilled.modes.clear()
    run(grid, context)
    assert Distilled.modes and all(mode == [True, False] for mode in Distilled.modes)
    student = job_of(grid, "distilled")
    teacher = student.teachers["vanilla"].load_unfolded(context)[0]
    held = student.load_unfolded(context)[0].teacher
    assert all(torch.equal(value, held.state_dict()[name]) for name, value in teacher.state_dict().items())
    images = torch.rand(4, 1, 32, 32)
    folded = student.load(context)[0]
    assert torch.allclose(folded.teacher(images), teacher(images), atol=1e-5)
    started = job_of(grid, "fine_tuned").load(context)[0]
    assert 0.5 < float((started(images) * teacher(images)).sum(1).min()) < 0.99999


def test_what_the_needed_model_costs_is_on_the_row(make):
    grid, context = make(defenses="cosines")
    run(grid, context)
    vanilla, distilled, cosines = (
        context.store.model(job.id)
        for job in (*job_of(grid, "cosines").all_teachers(), job_of(grid, "cosines"))
    )
    assert (vanilla.relative_cost, vanilla.teacher_cost) == (1, 0)
    # A step takes 3 units on the member, and 1 forward pass of the model that it holds.
    assert (distilled.relative_cost, distilled.teacher_cost) == (pytest.approx(4 / 3 + 1), 1)
    assert cosines.teacher_cost == distilled.relative_cost
    assert cosines.relative_cost == pytest.approx(1 + 4 / 3 + 1)
    assert cosines.cost == pytest.approx(vanilla.cost * (1 + 4 / 3 + 1))


def test_a_model_that_is_needed_twice_is_paid_for_once(make):
    class Both(Cosines):
        needs: ClassVar = ("vanilla", "distilled")

    DEFENSES.register("both")(Both)
    grid, context = make(defenses="both")
    run(grid, context)
    both = context.store.model(job_of(grid, "both").id)
    assert both.teacher_cost == pytest.approx(1 + 4 / 3)
    assert both.relative_cost == pytest.approx(1 + 4 / 3 + 1)
    assert make(defenses="both", compute="equal-passes", budget=7.5)[0].models
    with pytest.raises(
        UsageError, match=r"training vanilla, distilled.* takes 7 cost units of the budget of 7;"
    ):
        make(defenses="both", compute="equal-passes", budget=7)


def test_forward_passes_of_a_held_model_are_probed(make):
    grid, context = make(defenses="distilled")
    job = job_of(grid, "distilled")
    assert probe(job.key, job.recipe, context.folders).step == pytest.approx(4)


def test_a_loss_that_the_needed_model_cannot_be_trained_with_is_said(make):
    class Proxies(Distilled):
        needs: ClassVar = ("trades",)

    DEFENSES.register("with_proxies")(Proxies)
    grid, _ = make(defenses="with_proxies,vanilla", losses="triplet")
    (reason,) = grid.left_out()
    assert reason.startswith("with_proxies needs a trained trades, but trades needs a loss with proxies")
    assert not [m for m in grid.models if m.job.key.defense == "trades"]
    assert {p.job.key.defense for p in grid.attacks if p.refusal} == {"with_proxies"}


def declared(**fields):
    DEFENSES.register("declared")(type("Declared", (Distilled,), {"__module__": __name__, **fields}))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"needs": ("declared",)}, "declared needs declared: a defense cannot need itself."),
        ({"needs": ("declared[epochs_scale=1]",)}, "declared needs declared: a defense cannot need itself."),
        (
            {"needs": ("vanila",)},
            "declared needs 'vanila': Unknown defense 'vanila'. Did you mean",
        ),
        ({"needs": "vanilla"}, "declared: needs is a string; write needs = ('vanilla',)."),
        ({"trained": False}, "declared is not trained, so it cannot need vanilla."),
        ({"keep_from": "0.5"}, "declared: keep_from is '0.5'; give a fraction of the training in [0, 1)."),
        ({"keep_from": 1.0}, "declared: keep_from is 1.0; give a fraction of the training in [0, 1)."),
    ],
)
def test_a_declaration_that_cannot_be_is_one_line(make, fields, message):
    declared(**fields)
    with pytest.raises(UsageError) as caught:
        make(defenses="declared")
    assert str(caught.value).startswith(message)
    assert len(str(caught.value).splitlines()) == 1


def test_a_circle_of_two_is_named(make):
    class There(Defense):
        needs: ClassVar = ("back",)

    class Back(Defense):
        needs: ClassVar = ("there",)

    DEFENSES.register("there")(There)
    DEFENSES.register("back")(Back)
    with pytest.raises(UsageError, match="there needs back needs there: a defense cannot need itself"):
        make(defenses="there")


def test_under_equal_passes_the_needed_model_is_that_of_equal_epochs_and_out_of_the_budget(make):
    grid, context = make(defenses="vanilla,distilled", compute="equal-passes", budget=12)
    job = job_of(grid, "distilled", "equal-passes")
    assert job.teachers["vanilla"].epochs == 2
    assert job_of(grid, "vanilla", "equal-passes").epochs == 8
    assert (job.budget, job.epochs) == (24, 4)  # (12 - 3) of 4 units a step, for 2 epochs: 4.5
    run(grid, context)
    record = context.store.model(job.id)
    assert record.relative_cost == pytest.approx(12 / 3, rel=0.03)
    assert record.teacher_cost == pytest.approx(1)
    images = record.cost / record.relative_cost / 3 / 2
    assert job.cost(context.folders) == pytest.approx((24 - 6) * images)


def test_a_budget_that_the_needed_model_exhausts_is_one_line(make):
    with pytest.raises(UsageError) as caught:
        make(defenses="distilled", compute="equal-passes", budget=3)
    assert str(caught.value) == (
        "distilled: training vanilla, which it needs, takes 3 cost units of the budget of 3; raise --budget."
    )


def test_a_job_names_what_it_reads(make):
    grid, context = make(defenses="cosines", attacks="cascade")
    job = job_of(grid, "cosines")
    assert set(job.reads) == {job.id, *(teacher.id for teacher in job.all_teachers())}
    assert len(job.reads) == 3
    attacks = find_todo(grid, context.store).attacks
    assert any(attack.follows for attack in attacks)
    for attack in attacks:
        source = {attack.source.id} if attack.source else set()
        pools = {attack.clean_pool, attack.source_clean_pool} - {""}
        assert set(attack.reads) == {attack.model.id, attack.id, *attack.after} | source | pools
