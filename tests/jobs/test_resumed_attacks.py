"""Attacks that are interrupted after a save give the results of attacks that are not."""

import pytest
import torch

from attacks import ATTACKS, OBJECTIVES, SUITES, Attack, AttackResult, ResultBuilder, expand
from attacks.geometry import NORMS
from attacks.optimisers import captured_step
from benchmark.core.errors import InterruptedJobError

from ..recorded_graph import stand_in
from .killed_attacks import KilledError, assert_same, check_kills


def shorter(spec):
    """The same attack with few steps."""
    attack = ATTACKS.build(spec)
    fewer = {"steps": 3, "queries": 4, "searches": 2, "restarts": 2}
    changed = {name: value for name, value in fewer.items() if name in type(attack).model_fields}
    if "attack" in type(attack).model_fields:
        changed["attack"] = shorter(attack.attack)
    return type(attack)(**{**dict(attack), **changed}).spec


SPECS = list(
    dict.fromkeys(
        shorter(spec)
        for spec in (
            *(spec for suite in SUITES.names() for spec in expand([suite])),
            *(spec for name in ATTACKS.names() for spec in expand([name])),
            *(f"pgd[objective={name}]" for name in OBJECTIVES.names()),
            *(f"square[objective={name}]" for name in ("own", "pool", "information")),
            *(f"{name}[objective=pool]" for name in ("apgd", "mi_fgsm")),
        )
    )
)


@pytest.mark.slow
@pytest.mark.parametrize("spec", SPECS)
def test_every_attack_resumes_after_a_save(go, spec):
    norm = next(norm for norm in NORMS if ATTACKS.build(spec).knows(norm))
    check_kills(go, spec, norm=norm)


SOME = [
    "pgd[objective=own,restarts=2,steps=3]",
    "apgd[objective=pool,restarts=2,steps=3]",
    "square[objective=own,queries=3]",
    "noise",
]


@pytest.mark.parametrize("spec", SOME)
def test_a_resumed_attack_computes_only_what_is_left(go, spec):
    expected, resumed = check_kills(go, spec)
    if spec != "noise":
        assert resumed.calls < expected.calls


@pytest.mark.slow
@pytest.mark.parametrize("options", [{"stored": True}, {"attacked": torch.arange(1, 20, 2), "batch_size": 4}])
@pytest.mark.parametrize("spec", [*SOME, "gallery", "cw[objective=own,searches=2,steps=2]"])
def test_so_do_attacks_on_pools_elsewhere_and_on_parts_of_pools(go, spec, options):
    if spec == "gallery":
        spec = "pgd[objective=gallery_away,steps=3]"
    check_kills(go, spec, norm="l2", **options)


@pytest.mark.slow
@pytest.mark.parametrize(
    "spec", [*SOME, "square[objective=pool,queries=12]", "cw[objective=own,searches=2,steps=2]"]
)
def test_so_do_attacks_on_randomised_models_with_the_same_draws(go, spec):
    check_kills(go, spec, norm="l2", noise=0.05, batch_size=24)


@pytest.mark.parametrize(
    "spec", ["pgd[objective=own,restarts=2,steps=3]", "pgd[objective=information,steps=4]"]
)
def test_so_do_attacks_whose_steps_are_captured(go, spec, monkeypatch):
    monkeypatch.setattr(captured_step, "DEVICES", ("cpu",))
    monkeypatch.setattr(captured_step, "FEWEST_REPLAYS", 1)
    stand_in(monkeypatch)
    expected, _ = check_kills(go, spec, batch_size=10)
    assert expected.result.execution == "CUDA graph"


class Both(Attack):
    """An attack that runs another one twice, on the same problem, and keeps the second result."""

    name = "both"

    def perturb(self, problem):
        inner = ATTACKS.build("pgd[objective=own,steps=2]")
        inner.run(problem)
        return inner.run(problem)


def test_an_attack_that_runs_others_resumes_in_the_right_one(go):
    options = {"noise": 0.05, "batch_size": 24}
    expected = go(Both(), **options)
    for last in (1, 6, 7, 12):
        with pytest.raises(KilledError):
            go(Both(), path=f"{last}.safetensors", killed_after=last, **options)
        assert_same(go(Both(), path=f"{last}.safetensors", **options), expected)


def test_a_later_state_stays_while_an_earlier_attack_runs_again(go, tmp_path):
    path = tmp_path / "unfinished" / "x.safetensors"
    stop = tmp_path / "stop"
    whole = go(Both(), path="counted.safetensors").saves
    with pytest.raises(KilledError):
        go(Both(), path="x.safetensors", killed_after=whole - 1)
    before = path.read_bytes()
    stop.touch()
    with pytest.raises(InterruptedJobError):
        go(Both(), path="x.safetensors", stopping=stop)
    assert path.read_bytes() == before
    assert go(Both(), path="x.safetensors").saves == 1


class Pooled:
    """A score of a plugin, whose state nobody can know."""

    def __init__(self, problem):
        self.bank = problem.clean.clone()

    def __call__(self, embeddings, index):
        return -(embeddings * self.bank[index]).sum(1)

    def observe(self, index, embeddings):
        self.bank[index] = embeddings


def test_a_pooled_score_without_a_state_is_saved_between_restarts(go, monkeypatch):
    monkeypatch.setattr(OBJECTIVES.get("pool"), "bind", lambda self, problem: Pooled(problem))
    spec = "pgd[objective=pool,steps=3,restarts=4]"
    assert go(spec, path="x.safetensors").saves == 4
    check_kills(go, spec)


def test_an_update_that_keeps_what_cannot_be_saved_is_saved_between_batches(go, monkeypatch):
    made = ATTACKS.get("pgd").make_update

    def make_update(self):
        update = made(self)
        update.iterator = iter([1])
        return update

    monkeypatch.setattr(ATTACKS.get("pgd"), "make_update", make_update)
    assert go("pgd[objective=own,steps=3,restarts=2]", path="x.safetensors").saves == 4
    check_kills(go, "pgd[objective=own,steps=3,restarts=2]")


class OwnLoop(Attack):
    """An attack of a plugin that knows nothing of saves."""

    name = "own_loop"

    def perturb(self, problem):
        builder = ResultBuilder(problem)
        for batch, index in enumerate(builder.batches):
            builder.write(batch, problem.ball(index).random_start(problem.ids_of(index), problem.seed, 0))
        return builder.result()


class NoBuilder(Attack):
    """An attack of a plugin that collects its result itself."""

    name = "no_builder"

    def perturb(self, problem):
        return AttackResult(problem.images.clone())


@pytest.mark.parametrize("kind", [OwnLoop, NoBuilder])
def test_an_attack_with_a_loop_of_its_own_is_not_saved(go, kind):
    assert go(kind(), path="x.safetensors").saves == 0
