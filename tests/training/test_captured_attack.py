"""Attacks of trainings replayed from recorded operations; on a real GPU: `test_on_gpu.py`."""

import pytest
import torch

from attacks.captured_call import WARM_UP
from benchmark.core.embedder import Embedder
from benchmark.models import PassCounter, count_flops
from benchmark.training import Recipe, TrainingAttack, captured_attack, train
from benchmark.training.captured_attack import EAGER_CALLS, CapturedAttacks
from defenses import DEFENSES, PGDAT

from ..recorded_graph import stand_in

RECIPE = Recipe(epochs=3, batch_size=24, lr=0.01, shift=1, inner_steps=2, ramp=0.8, warm_up=1)
"""Twelve steps: the radius grows and parameters thaw when attacks have been captured already."""

SPECS = (
    "pgd_at",
    "trades",
    "trades[distance=embedding]",
    "est",
    "ensemble_at[members=2]",
    "mixup[adversarial=true]",
    "eat",
    "eat[transfer=peers]",
    "eat[transfer=self,split=disjoint]",
)
LOOKS = "eager: the capture failed: called a synchronizing CUDA operation"


@pytest.fixture
def recorded(monkeypatch):
    """Lets attacks on the CPU be captured, by recorded operations."""
    monkeypatch.setattr(captured_attack, "DEVICES", ("cpu",))
    monkeypatch.setattr(captured_attack, "FEWEST_REPLAYS", 1)
    return stand_in(monkeypatch)


@pytest.fixture
def run(make_member, images):
    def go(defense, recipe=RECIPE, loss="proxy_anchor", epochs=None):
        defense = DEFENSES.build(defense) if isinstance(defense, str) else defense
        torch.manual_seed(0)
        model = defense.build(lambda: make_member(loss), images.labels)
        unit = count_flops(make_member(), images.image_shape)
        return model, train(defense, model, images, recipe, 0.1, unit, epochs=epochs)

    return go


@pytest.fixture
def both(run, recorded, monkeypatch):
    """Trains eagerly and as by default; returns the records if all else is equal bit for bit."""

    def run_both(*arguments, **options):
        with monkeypatch.context() as patch:
            patch.setattr(captured_attack, "DEVICES", ())
            model, eager = run(*arguments, **options)
        assert not recorded
        other, found = run(*arguments, **options)
        weights = other.state_dict()
        assert all(torch.equal(value, weights[key]) for key, value in model.state_dict().items())
        assert (eager.curve, eager.cost) == (found.curve, found.cost)
        assert eager.execution == "eager"
        return eager, found

    return run_both


@pytest.mark.parametrize("spec", SPECS)
def test_replays_train_what_eager_attacks_train_bit_for_bit(both, recorded, spec):
    assert both(spec)[1].execution == "CUDA graph"
    assert "graph" in recorded


def test_in_mixed_precision(both):
    assert both("trades", RECIPE.model_copy(update={"precision": "bfloat16"}))[1].execution == "CUDA graph"


@pytest.mark.parametrize("loss", ["triplet", "multi_similarity"])
def test_a_loss_that_looks_at_values_stays_eager_and_the_record_says_so(both, recorded, loss):
    recipe = RECIPE.model_copy(update={"images_per_class": 2})
    assert both("pgd_at", recipe, loss)[1].execution == LOOKS
    assert recorded.count("device") == 1  # not tried again


class Anew(PGDAT):
    """Makes a new objective in each step, as methods did before tensors could be given."""

    def loss(self, model, batch, attack):
        adversarial = attack(lambda images: model.loss_of_images(images, batch.labels), batch.images, model)
        return model.loss_of_images(adversarial, batch.labels)


class GivenAnew(PGDAT):
    def loss(self, model, batch, attack):
        def objective(images, labels):
            return model.loss_of_images(images, labels)

        adversarial = attack(objective, batch.images, model, given=[batch.labels])
        return model.loss_of_images(adversarial, batch.labels)


class Moving(PGDAT):
    """Puts a new tensor in place of a buffer."""

    def loss(self, model, batch, attack):
        norm = model.embedder.network[1]
        norm.running_mean = norm.running_mean.clone()
        return super().loss(model, batch, attack)


class OfStep:
    """An objective that is another one in each step."""

    def __init__(self, model):
        self.model = model

    def __call__(self, images, labels):
        return self.model.loss_of_images(images, labels)


class NeverEqual(PGDAT):
    def loss(self, model, batch, attack):
        adversarial = attack(OfStep(model), batch.images, model, given=[batch.labels])
        return model.loss_of_images(adversarial, batch.labels)


class Unhashable(OfStep):
    __hash__ = None

    def __eq__(self, other):
        return True


class WithoutHash(PGDAT):
    def loss(self, model, batch, attack):
        adversarial = attack(Unhashable(model), batch.images, model, given=[batch.labels])
        return model.loss_of_images(adversarial, batch.labels)


@pytest.mark.parametrize("defense", [Anew, GivenAnew, NeverEqual, WithoutHash])
def test_objectives_that_are_new_in_each_step_stay_eager(both, recorded, monkeypatch, defense):
    monkeypatch.setattr(captured_attack, "MOST_KINDS", 3)
    assert both(defense())[1].execution == "eager"
    assert not recorded


def test_a_graph_is_not_used_when_what_it_reads_was_replaced(both):
    assert both(Moving())[1].execution == (
        "CUDA graph; eager: the model's parameters or buffers were moved in memory"
    )


def test_with_batch_statistics_attacks_stay_eager(both, recorded):
    assert both("pgd_at", RECIPE.model_copy(update={"inner_batch_norm": "batch"}))[1].execution == "eager"
    assert not recorded


@pytest.mark.parametrize(
    ("name", "value"), [("FEWEST_REPLAYS", 13), ("MAX_FLOPS", 100.0), ("DEVICES", ("cuda",))]
)
def test_nothing_is_captured_where_it_would_not_pay(run, recorded, monkeypatch, name, value):
    monkeypatch.setattr(captured_attack, name, value)
    assert run("pgd_at")[1].execution == "eager"
    assert not recorded


def test_no_more_graphs_than_allowed(both, monkeypatch):
    monkeypatch.setattr(captured_attack, "MOST_GRAPHS", 1)
    found = both("ensemble_at[members=2]")[1]
    assert found.execution == "CUDA graph; eager: there are 1 graphs already"


class Randomised(Embedder):
    randomised = True

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, images):
        return self.inner(images)


@pytest.fixture
def attack_on(make_member, images):
    """Attacks one batch after the other; returns the sizes of the batches that the model saw from Python."""

    def go(times, wrap=lambda member: member, eps=0.1):
        member = make_member()
        model = wrap(member)
        counter = PassCounter(member, images.image_shape, count_flops(member, images.image_shape))
        captured = CapturedAttacks(times, [counter])
        attack = TrainingAttack(eps, 2, 0.5, captured=captured)
        sizes = []
        member.register_forward_hook(lambda module, inputs, output: sizes.append(len(inputs[0])))
        with counter:
            for number in range(times):
                rows = slice(number, number + 8)
                attack(member.loss_of_images, images.images[rows], model, given=[images.labels[rows]])
        assert counter.total == times * 8 * 2 * 2
        return [size for size in sizes if size > 1], captured.execution

    return go


def test_the_model_runs_from_python_only_until_it_is_captured(recorded, attack_on):
    sizes, execution = attack_on(20)
    assert execution == "CUDA graph"
    assert sizes == [8] * 2 * (EAGER_CALLS + WARM_UP + 1 + 1)  # and the comparison


def test_randomised_models_and_empty_balls_stay_eager(recorded, attack_on):
    for options in ({"wrap": Randomised}, {"eps": 0.0}):
        sizes, execution = attack_on(6, **options)
        assert (len(sizes), execution) == (12, "eager")
    assert not recorded


class Forgetful(Embedder):
    """A model whose weight is a number of Python, which changes in each call."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner
        self.sign = 1.0

    def forward(self, images):
        return self.inner(images)

    def score(self, images, labels):
        self.sign = -self.sign
        return self.sign * self.inner.loss_of_images(images, labels)


def test_a_replay_that_differs_is_not_used(recorded, make_member, images):
    model = Forgetful(make_member())
    captured = CapturedAttacks(100)
    attack = TrainingAttack(0.1, 1, 0.5, captured=captured)
    for _ in range(EAGER_CALLS + 2):
        attack(model.score, images.images[:8], model, given=[images.labels[:8]])
    assert captured.execution == (
        "eager: a replay differed from the model, which keeps state outside of tensors"
    )
    assert recorded.count("graph") == 1
