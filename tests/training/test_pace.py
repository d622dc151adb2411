"""Trainings for a budget of cost units: it is spent, whatever phases a method has, and no more."""

import math
import random
from typing import ClassVar

import numpy as np
import pytest
import torch

from benchmark.core.errors import TrainingError
from benchmark.models import count_flops
from benchmark.records import ValidationResult
from benchmark.training import Recipe, SavePoint, Validator, train
from benchmark.training.pace import StepPace
from defenses import DEFENSES, Defense

RECIPE = Recipe(epochs=8, batch_size=32, lr=0.01, inner_steps=3, validations=4)
IMAGES_EACH = 96


class Phased(Defense):
    """Trains on clean images at first, then on adversarial ones; `seen` holds each step's progress."""

    seen: ClassVar = []

    def adversarial(self, model, batch):
        return batch.progress >= 0.25

    def loss(self, model, batch, attack):
        self.seen.append(batch.progress)
        images = batch.images
        if self.adversarial(model, batch):
            images = attack(lambda x: model.loss(model(x), batch.labels), images, model)
        return model.loss(model(images), batch.labels)


class Counting(Phased):
    """The same with 16 clean steps, counted in a buffer."""

    def build(self, make_member, labels):
        member = make_member()
        member.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        return member

    def adversarial(self, model, batch):
        model.steps += 1
        return int(model.steps) > 16


class Expensive(Phased):
    """The first half is adversarial."""

    def adversarial(self, model, batch):
        return batch.progress < 0.5


@pytest.fixture
def run(make_member, images):
    def go(defense, budget, recipe=RECIPE, seed=0, **options):
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)
        model = defense.build(make_member, images.labels)
        unit = count_flops(make_member(), images.image_shape)
        type(defense).seen = []
        return model, train(defense, model, images, recipe, 0.1, unit, budget=budget, **options)

    return go


@pytest.mark.parametrize("budget", [9 * 8, 100.3, 8 * 8])
@pytest.mark.parametrize("kind", [Phased, Counting, Expensive])
def test_what_is_spent_is_within_half_a_step_of_the_budget(run, kind, budget):
    _, trained = run(kind(), budget)
    assert abs(trained.cost - budget * IMAGES_EACH) <= 9 * 32 / 2 + 1e-6
    assert trained.relative_cost == pytest.approx(trained.cost / (3 * 8 * IMAGES_EACH))
    progress = kind.seen
    assert progress[0] == 0 and all(0 <= value < 1 for value in progress)
    assert progress == sorted(progress) and progress[-1] > 0.95
    assert trained.epochs == len(trained.curve) == trained.best_epoch == math.ceil(len(progress) / 3)


def test_progress_is_what_is_spent(run):
    run(Expensive(), 72.0)
    spent = [0.0]
    for progress in Expensive.seen:
        spent.append(spent[-1] + (9 if progress < 0.5 else 3) * 32 / (72 * IMAGES_EACH))
    assert Expensive.seen == pytest.approx(spent[:-1])


def test_with_equal_epochs_progress_is_that_of_the_steps(run):
    run(Phased(), None)
    assert Phased.seen == [step / 24 for step in range(24)]


@pytest.mark.parametrize("schedule", ["step", "one_cycle"])
def test_the_learning_rate_and_the_ramp_follow_what_is_spent(run, monkeypatch, schedule):
    rates, optimizers = [], []

    class Watched(Expensive):
        def loss(self, model, batch, attack):
            rates.append((batch.progress, optimizers[-1].param_groups[0]["lr"], attack.scale))
            return super().loss(model, batch, attack)

    real = torch.optim.AdamW

    def watch(groups, **options):
        optimizers.append(real(groups, **options))
        return optimizers[-1]

    monkeypatch.setattr(torch.optim, "AdamW", watch)
    recipe = RECIPE.model_copy(update={"schedule": schedule, "decay_every": 2, "decay": 0.5, "ramp": 0.5})
    run(Watched(), 72.0, recipe, epochs=8)
    assert all(scale == pytest.approx(min(1, progress / 0.5)) for progress, _, scale in rates)
    if schedule == "step":
        assert all(rate == 0.01 * 0.5 ** int(progress * 4 + 1e-9) for progress, rate, _ in rates)
    else:
        highest = max(rates, key=lambda found: found[1])
        assert 0.2 < highest[0] < 0.4 and highest[1] > 0.0099
        assert rates[-1][1] < 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("schedule", ["one_cycle", "step", "constant"])
@pytest.mark.parametrize("kind", [Phased, Counting])
def test_an_interrupted_training_ends_as_an_uninterrupted_one(run, images, tmp_path, kind, schedule):
    recipe = RECIPE.model_copy(update={"schedule": schedule, "decay_every": 3})
    options = {"recipe": recipe, "held_out": images}
    whole, expected = run(kind(), 72.0, **options)

    def stop(done, total, loss):
        assert done <= total
        if done == 5:
            raise KeyboardInterrupt

    path = tmp_path / "point.safetensors"
    with pytest.raises(KeyboardInterrupt):
        run(kind(), 72.0, on_epoch=stop, save_point=SavePoint(path), **options)
    assert SavePoint(path).notes()["epoch"] == 4
    model, trained = run(kind(), 72.0, seed=5, save_point=SavePoint(path), **options)
    state = model.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in whole.state_dict().items())
    for name in ("curve", "validations", "best_epoch", "cost", "relative_cost", "epochs"):
        assert getattr(trained, name) == getattr(expected, name), name
    assert trained.resumed == 4


def test_validations_follow_what_is_spent(run, images):
    seen = []

    def on_epoch(done, total, loss):
        seen.append((done, Expensive.seen[-1]))

    _, trained = run(Expensive(), 72.0, held_out=images, on_epoch=on_epoch)
    epochs = [result.epoch for result in trained.validations]
    assert len(epochs) == 4 and epochs[-1] == trained.epochs
    # Half of the budget is spent on the costly epochs, the same number of validations on either half.
    last = dict(seen)
    assert [round(last[epoch], 1) for epoch in epochs] == pytest.approx([0.25, 0.5, 0.75, 1], abs=0.13)
    assert epochs[1] < trained.epochs / 2


@pytest.mark.parametrize("keep_from", [0.0, 0.3, 0.6, 0.99])
@pytest.mark.parametrize("budget", [None, 24.0])
def test_early_epochs_are_validated_and_not_kept(run, images, monkeypatch, keep_from, budget):
    class Warming(DEFENSES.get("vanilla")):
        seen: ClassVar = []

    Warming.keep_from = keep_from
    scores = iter([0.9, 0.5, 0.8, 0.1])

    def validate(self, model, epoch):
        return ValidationResult(epoch=epoch, clean_map_r=(score := next(scores)), attacked_map_r=score)

    monkeypatch.setattr(Validator, "validate", validate)
    _, trained = run(Warming(), budget, held_out=images)
    assert [result.epoch for result in trained.validations] == [2, 4, 6, 8]
    assert trained.best_epoch == {0.0: 2, 0.3: 6, 0.6: 6, 0.99: 8}[keep_from]


def test_parts_are_done_after_the_epochs_that_were_validated_before():
    for epochs in range(1, 14):
        for number in range(1, 14):
            pace = StepPace(epochs, 3, 0)
            found = []
            for epoch in range(1, epochs + 1):
                before = pace.parts(number)
                for _ in range(3):
                    pace.step()
                found += [epoch] if pace.parts(number) > before else []
            assert set(found) == {math.ceil(epochs * part / number) for part in range(1, number + 1)}
            assert pace.over


@pytest.mark.parametrize("factor", [1.0, math.nan])
def test_a_method_that_spends_nothing_ends_with_one_line(run, factor):
    class Free(Defense):
        seen: ClassVar = []

        def loss(self, model, batch, attack):
            return factor * sum(parameter.square().sum() for parameter in model.parameters())

    with pytest.raises(TrainingError, match="epoch 1 spent no cost units, so no budget can be spent"):
        run(Free(), 72.0)


def test_what_a_needed_model_costs_comes_out_of_the_budget(run):
    _, trained = run(Phased(), 72.0, teacher_cost=24.0 * IMAGES_EACH)
    assert trained.cost == pytest.approx(72 * IMAGES_EACH, abs=9 * 32 / 2)
    assert trained.teacher_cost == pytest.approx(1)
    with pytest.raises(TrainingError, match=r"took 6,912 cost units, and the budget of both is 6,912"):
        run(Phased(), 72.0, teacher_cost=72.0 * IMAGES_EACH)
