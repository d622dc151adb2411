"""Attacks that are interrupted after a save give the results of attacks that are not."""

import random
import shutil
import time
from collections import namedtuple
from itertools import count

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from attacks import ATTACKS, OBJECTIVES, SUITES, Attack, AttackResult, Problem, ResultBuilder, expand
from attacks.geometry import NORMS
from attacks.optimisers import captured_step
from benchmark.core import state_file
from benchmark.core.embedder import Embedder
from benchmark.core.errors import InterruptedJobError, StorageFullError
from benchmark.jobs import RunContext
from benchmark.jobs.attack_save_point import AttackSavePoint
from benchmark.jobs.progress import AttackProgress
from benchmark.models import PassCounter, count_flops

from ..recorded_graph import stand_in

BATCH = 12


class KilledError(Exception):
    """Ends an attack in these tests; tests/runner kills a real process."""


class KilledAfter(AttackSavePoint):
    """Counts saves, and raises after one of them."""

    saves, last = 0, None

    def save(self, state, images):
        super().save(state, images)
        self.saves += 1
        if self.saves == self.last:
            raise KilledError


class Network(Embedder):
    """Two layers in channels-last format, whose sums depend on the order of additions."""

    def __init__(self, noise=0.0):
        super().__init__()
        draws = torch.Generator().manual_seed(0)
        self.kernels = torch.nn.Parameter(
            torch.randn(6, 3, 3, 3, generator=draws).to(memory_format=torch.channels_last)
        )
        self.last = torch.nn.Parameter(torch.randn(6, 5, generator=draws))
        self.noise, self.randomised, self.calls = noise, noise > 0, 0

    def forward(self, images):
        self.calls += 1
        if self.noise:
            images = images + self.noise * (torch.randn_like(images) + random.random())
        return F.normalize(F.conv2d(images - 0.5, self.kernels).relu().mean((2, 3)) @ self.last)


class Stored:
    """A pool that is not in memory."""

    def __init__(self, images):
        self._images, self.image_shape = images, tuple(images.shape[1:])

    def __len__(self):
        return len(self._images)

    def batch(self, indices, device):
        return self._images[indices].to(device)


IMAGES = torch.rand(20, 3, 8, 8, generator=torch.Generator().manual_seed(1))
IDS = torch.arange(20) * 7 % 20
Run = namedtuple("Run", "result units calls saves seconds")


@pytest.fixture
def go(tmp_path):
    """Runs an attack, which may be killed after one of its saves; each call is like a new process."""
    torch.set_num_threads(1)

    def run(
        spec,
        norm="linf",
        path=None,
        killed_after=None,
        noise=0.0,
        stored=False,
        every=0,
        stopping=None,
        **options,
    ):
        attack = ATTACKS.build(spec) if isinstance(spec, str) else spec
        model, source = (
            Network(noise).eval().requires_grad_(False),
            Network(noise).eval().requires_grad_(False),
        )
        images = Stored(IMAGES) if stored else IMAGES.clone()
        random.seed(0)
        torch.manual_seed(0)
        unit = count_flops(model, (3, 8, 8))
        model.calls = 0
        with PassCounter(model, (3, 8, 8), unit) as own, PassCounter(source, (3, 8, 8), unit) as other:
            options = {"batch_size": BATCH, "eot": 2, "eps": 5.0 if norm == "l0" else 0.1, **options}
            sources = dict.fromkeys(("vanilla", attack.needs or "vanilla"), source)
            problem = Problem(
                model,
                images,
                torch.arange(20) // 4,
                IDS,
                norm,
                sources=sources,
                counters=(own, other),
                **options,
            )
            if path is not None:
                context = RunContext(
                    output=tmp_path, cache=tmp_path, data=tmp_path, device="cpu", commit="", save_every=every,
                    stop_file=stopping,
                )  # fmt: skip
                problem.save_point = KilledAfter(tmp_path / "unfinished" / path, problem, context)
                problem.save_point.last = killed_after
            started = time.perf_counter()
            result = attack.run(problem)
            seconds = time.perf_counter() - started
        units = (own.forward, own.backward, other.forward, other.backward)
        point = problem.save_point
        return Run(
            result, units, model.calls + source.calls, point and point.saves,
            seconds + (point.seconds_before if point else 0.0),
        )  # fmt: skip

    return run


def assert_same(found, expected):
    assert torch.equal(found.result.images, expected.result.images)
    assert found.result.images.stride() == expected.result.images.stride()
    assert (found.result.objective is None) == (expected.result.objective is None)
    if expected.result.objective is not None:
        assert torch.equal(found.result.objective, expected.result.objective)
    assert found.result.zero_gradient == expected.result.zero_gradient
    assert found.result.execution == expected.result.execution
    assert found.units == pytest.approx(expected.units, rel=1e-12)


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


def check_every_kill(go, spec, **options):
    """Kills an attack after each of its saves, and resumes it."""
    expected = go(spec, **options)
    saves = go(spec, path="counted.safetensors", **options).saves
    assert saves >= 2
    for last in range(1, saves + 1):
        path = f"{last}.safetensors"
        with pytest.raises(KilledError):
            go(spec, path=path, killed_after=last, **options)
        resumed = go(spec, path=path, **options)
        assert resumed.saves == saves - last
        assert_same(resumed, expected)
    return expected, resumed


@pytest.mark.slow
@pytest.mark.parametrize("spec", SPECS)
def test_every_attack_resumes_after_each_save(go, spec):
    norm = next(norm for norm in NORMS if ATTACKS.build(spec).knows(norm))
    check_every_kill(go, spec, norm=norm)


SOME = [
    "pgd[objective=own,restarts=2,steps=3]",
    "apgd[objective=pool,restarts=2,steps=3]",
    "square[objective=own,queries=3]",
    "noise",
]


@pytest.mark.parametrize("spec", SOME)
def test_a_resumed_attack_computes_only_what_is_left(go, spec):
    expected, resumed = check_every_kill(go, spec)
    if spec != "noise":
        assert resumed.calls < expected.calls


@pytest.mark.slow
@pytest.mark.parametrize("options", [{"stored": True}, {"attacked": torch.arange(1, 20, 2), "batch_size": 4}])
@pytest.mark.parametrize("spec", [*SOME, "gallery", "cw[objective=own,searches=2,steps=2]"])
def test_so_do_attacks_on_pools_elsewhere_and_on_parts_of_pools(go, spec, options):
    if spec == "gallery":
        spec = "pgd[objective=gallery_away,steps=3]"
    check_every_kill(go, spec, norm="l2", **options)


@pytest.mark.slow
@pytest.mark.parametrize(
    "spec", [*SOME, "square[objective=pool,queries=12]", "cw[objective=own,searches=2,steps=2]"]
)
def test_so_do_attacks_on_randomised_models_with_the_same_draws(go, spec):
    check_every_kill(go, spec, norm="l2", noise=0.05, batch_size=24)


@pytest.mark.parametrize(
    "spec", ["pgd[objective=own,restarts=2,steps=3]", "pgd[objective=information,steps=4]"]
)
def test_so_do_attacks_whose_steps_are_captured(go, spec, monkeypatch):
    monkeypatch.setattr(captured_step, "DEVICES", ("cpu",))
    monkeypatch.setattr(captured_step, "FEWEST_REPLAYS", 1)
    stand_in(monkeypatch)
    expected, _ = check_every_kill(go, spec, batch_size=10)
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
    check_every_kill(go, spec)


def test_an_update_that_keeps_what_cannot_be_saved_is_saved_between_batches(go, monkeypatch):
    made = ATTACKS.get("pgd").make_update

    def make_update(self):
        update = made(self)
        update.iterator = iter([1])
        return update

    monkeypatch.setattr(ATTACKS.get("pgd"), "make_update", make_update)
    assert go("pgd[objective=own,steps=3,restarts=2]", path="x.safetensors").saves == 4
    check_every_kill(go, "pgd[objective=own,steps=3,restarts=2]")


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


SPEC = "apgd[objective=pool,steps=4]"
PATH = "x.safetensors"


@pytest.fixture
def saved(go, tmp_path):
    """The file of an attack that was killed after its second step."""
    with pytest.raises(KilledError):
        go(SPEC, path=PATH, killed_after=2)
    return tmp_path / "unfinished" / PATH


def starts_over(go, **options):
    found, expected = go(SPEC, path=PATH, **options), go(SPEC, **options)
    assert_same(found, expected)
    return found.calls == expected.calls


def test_it_resumes_from_a_sound_file(go, saved):
    assert not starts_over(go)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(path.read_bytes()[:-10]),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(bytes([*path.read_bytes()[:-1], path.read_bytes()[-1] ^ 1])),
        lambda path: save_file({"images": torch.zeros(1)}, path),
        lambda path: (path.unlink(), path.mkdir()),
    ],
)
def test_a_damaged_file_is_set_aside_and_the_attack_starts_over(go, saved, damage, capsys):
    damage(saved)
    assert starts_over(go)
    assert f"warning: {saved} is damaged (" in capsys.readouterr().err
    assert saved.with_name("x.safetensors.damaged").exists()


def test_the_state_of_another_attack_is_not_restored(go, saved):
    shutil.copy(saved, saved.with_name("y.safetensors"))
    assert go(SPEC, path="y.safetensors").calls == go(SPEC).calls


@pytest.mark.parametrize(
    "options",
    [{"batch_size": 6}, {"stored": True}, {"attacked": torch.arange(10)}],
    ids=lambda o: next(iter(o)),
)
def test_other_batches_or_images_or_memory_start_over(go, saved, options):
    assert starts_over(go, **options)


def test_other_packages_start_over(go, saved, monkeypatch):
    found = RunContext.provenance
    monkeypatch.setattr(
        RunContext, "provenance", lambda self: found(self).model_copy(update={"packages": {"torch": "1.0"}})
    )
    assert starts_over(go)


def test_it_is_saved_no_more_often_than_the_interval(go, monkeypatch):
    assert go(SPEC, path=PATH, every=1000).saves == 0
    monkeypatch.setattr(time, "monotonic", count(step=30).__next__)  # it looks at the clock twice a step
    saves = [go(SPEC, path=f"{every}.safetensors", every=every).saves for every in (1, 100, 200)]
    assert saves[0] > saves[1] > saves[2] > 0


def test_the_time_before_is_added(go, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(KilledError):
        patch.setattr(time, "perf_counter", count(step=1000).__next__)
        go(SPEC, path=PATH, killed_after=2)
    assert go(SPEC, path=PATH).seconds > 1000


def test_the_progress_goes_on_from_the_save(go):
    told = []
    killed, whole, resumed = (AttackProgress(told.append) for _ in range(3))
    with pytest.raises(KilledError):
        go(SPEC, path=PATH, killed_after=2, watch=killed)
    go(SPEC, path=PATH, watch=resumed)
    go(SPEC, watch=whole)
    assert 0 < killed.done < resumed.done == whole.done
    told = [one for one in told if one.done == whole.done]
    assert [one.resumed for one in told] == [killed.done / whole.done, 0.0]


def test_a_run_that_is_stopped_saves_at_the_next_step(go, tmp_path):
    stop = tmp_path / "stop"
    stop.touch()
    for _ in range(3):
        with pytest.raises(InterruptedJobError, match="the attack is saved"):
            go(SPEC, path=PATH, every=1000, stopping=stop)
    stop.unlink()
    resumed, expected = go(SPEC, path=PATH, stopping=stop), go(SPEC)
    assert_same(resumed, expected)
    assert resumed.calls < expected.calls


def test_a_state_that_is_too_large_for_the_disk_is_not_saved(go, monkeypatch, capsys, tmp_path):
    usage = namedtuple("Usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**6, 10**6 - 10_000, 10_000))
    assert_same(go(SPEC, path=PATH), go(SPEC))
    assert not list((tmp_path / "unfinished").iterdir())
    said = capsys.readouterr().err
    assert said.count("warning: the running attack is not saved on the way: its state takes 0.0 GB") == 1


def test_a_full_disk_ends_the_run(go, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(state_file, "save_file", full)
    with pytest.raises(StorageFullError, match="cannot be written: the disk is full"):
        go(SPEC, path=PATH)
