import math
from typing import ClassVar

import pytest
import torch

from benchmark.core.errors import TrainingError, UsageError
from benchmark.data import ImageSet
from benchmark.losses import Criterion
from benchmark.models import count_flops
from benchmark.training import Recipe, train
from defenses import DEFENSES, EAT, Defense

SHORT = Recipe(epochs=2, batch_size=32, lr=0.01, inner_steps=3, shift=2)


@pytest.fixture
def run(make_member, images):
    def go(defense="vanilla", recipe=SHORT, data=images, seed=0, eps=0.1, **options):
        if isinstance(defense, str):
            defense = DEFENSES.build(defense)
        unit = count_flops(make_member(), data.image_shape)
        torch.manual_seed(seed)
        model = defense.build(make_member, data.labels).eval()  # training must not depend on the mode
        return model, train(defense, model, data, recipe, eps, unit, **options)

    return go


class Spy(Defense):
    """Trains as vanilla, and records what it is given."""

    seen: ClassVar = []

    def loss(self, model, batch, attack):
        self.seen.append((batch, attack.scale, attack.eps, attack.steps, attack.step, model.training))
        return model.loss(model(batch.images), batch.labels) * self.factor(len(self.seen))

    def factor(self, step):
        return 1.0


@pytest.fixture
def spy():
    class Watching(Spy):
        seen: ClassVar = []  # a new list for each test

    return Watching


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vanilla", "pgd_at", "mixup", "eat"])
def test_the_same_seed_gives_the_same_weights(run, name):
    (first, a), (second, b), (other, _) = run(name), run(name), run(name, seed=1)
    assert all(torch.equal(value, second.state_dict()[key]) for key, value in first.state_dict().items())
    assert a.curve == b.curve
    assert not all(torch.equal(value, other.state_dict()[key]) for key, value in first.state_dict().items())


@pytest.mark.parametrize("name", ["vanilla", "pgd_at"])
def test_the_loss_falls_and_the_model_learns(run, images, name):
    model, trained = run(name, SHORT.model_copy(update={"epochs": 16, "lr": 0.02, "shift": 0}), eps=0.05)
    assert len(trained.curve) == 16
    assert trained.curve[-1] < 0.6 * trained.curve[0]
    assert trained.seconds > 0
    assert not any(module.training for module in model.modules())
    with torch.no_grad():
        cosines = model.class_cosines(model(images.images))
    assert float((cosines.argmax(1) == images.labels).double().mean()) > 0.6  # chance is 0.08


# Cost units per image and step, by hand; vanilla takes 3. The training attack's 3 steps take 6 on one member.
COSTS = {
    "vanilla": 3,
    "pgd_at": 2 * 3 + 3,
    "trades": 1 + 2 * 3 + 2 * 3,  # the fixed side, the attack, the clean and the adversarial batch
    "adp[members=3]": 3 * 3,
    "mixup": 3,
    "random_transforms": 3,
    # The attack on all three members; each image trains two of them.
    "eat[members=3,split=leave_one_out,transfer=ensemble]": 3 * (2 * 3) + 2 * 3,
    "eat[members=3,split=leave_one_out,transfer=self]": 2 * (2 * 3) + 2 * 3,
    "eat[members=3,split=leave_one_out,transfer=peers]": 2 * 3 + 2 * 3,
    "eat[members=2,split=none,transfer=ensemble]": 2 * (2 * 3) + 2 * 3,
}


@pytest.mark.slow
@pytest.mark.parametrize("spec", COSTS)
def test_the_cost_is_as_counted_by_hand(run, spec):
    model, trained = run(spec)
    assert trained.cost == pytest.approx(COSTS[spec] * 2 * 96)
    assert trained.relative_cost == pytest.approx(COSTS[spec] / 3)
    assert trained.embed_cost == len(model.members)


def test_the_cost_follows_the_inner_steps(run):
    _, trained = run("pgd_at", SHORT.model_copy(update={"inner_steps": 1}))
    assert trained.relative_cost == pytest.approx(5 / 3)


def test_epochs_scale_trains_longer_and_costs_more(run):
    for scale, epochs in ((2, 4), (0.5, 1), (0.01, 1)):
        _, trained = run(f"vanilla[epochs_scale={scale}]")
        assert len(trained.curve) == epochs
        assert trained.relative_cost == epochs / 2


def test_an_incomplete_batch_is_dropped(run, spy):
    _, trained = run(spy(), SHORT.model_copy(update={"batch_size": 40}))
    assert [len(batch.images) for batch, *_ in spy.seen] == [40] * 4
    assert trained.relative_cost == 1.0


def test_a_batch_larger_than_the_data_is_all_of_it(run, spy):
    _, trained = run(spy(), SHORT.model_copy(update={"batch_size": 1000}))
    assert [len(batch.images) for batch, *_ in spy.seen] == [96, 96]
    assert trained.relative_cost == 1.0


def test_a_batch_is_the_images_that_its_index_names(run, spy, images):
    run(spy(), SHORT.model_copy(update={"shift": 0}))
    for epoch in (spy.seen[:3], spy.seen[3:]):
        assert sorted(torch.cat([batch.index for batch, *_ in epoch]).tolist()) == list(range(96))
    for batch, *_, training in spy.seen:
        assert torch.equal(batch.images, images.images[batch.index])
        assert torch.equal(batch.labels, images.labels[batch.index])
        assert training
    assert not torch.equal(spy.seen[0][0].index, spy.seen[3][0].index)


def test_images_are_augmented_and_bytes_are_scaled(run, spy, images):
    data = ImageSet((images.images * 255).round().byte(), images.labels, images.ids)
    run(spy(), SHORT, data)
    batch = spy.seen[0][0]
    assert batch.images.dtype == torch.float32
    assert float(batch.images.max()) == 1.0
    moved = (batch.images != data.images[batch.index].float() / 255).flatten(1).any(1)
    assert moved.sum() > 16  # one shift in 25 is by zero pixels


@pytest.mark.parametrize(
    ("ramp", "expected"),
    [(0.0, [1.0] * 6), (0.5, [0, 1 / 3, 2 / 3, 1, 1, 1]), (1.0, [k / 6 for k in range(6)])],
)
def test_the_ramp(run, spy, ramp, expected):
    run(spy(), SHORT.model_copy(update={"ramp": ramp, "inner_steps": 4, "inner_step": 0.7}), eps=0.3)
    assert [scale for _, scale, *_ in spy.seen] == pytest.approx(expected)
    assert {(eps, steps, step) for _, _, eps, steps, step, _ in spy.seen} == {(0.3, 4, 0.7)}


def test_the_radius_matters(run):
    curves = [run("pgd_at", SHORT, eps=eps)[1].curve for eps in (0.0, 0.01, 0.2)]
    assert curves[0][-1] < curves[1][-1] < curves[2][-1]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_a_number_names_the_epoch(run, spy, value):
    class Breaking(spy):
        def factor(self, step):
            return value if step == 5 else 1.0

    with pytest.raises(TrainingError, match="in epoch 2 of 3") as caught:
        run(Breaking(), SHORT.model_copy(update={"epochs": 3}))
    assert len(str(caught.value).splitlines()) == 1
    assert len(spy.seen) == 6  # it stops there


def test_proxies_have_a_learning_rate_of_their_own(run, make_member):
    torch.manual_seed(0)
    fresh = make_member()

    def moved(scale):
        model, _ = run("vanilla", SHORT.model_copy(update={"proxy_lr_scale": scale, "weight_decay": 0.0}))
        return [
            (after - before).abs().max().item()
            for after, before in (
                (next(model.criterion.parameters()), next(fresh.criterion.parameters())),
                (model.embedder.network[0].weight, fresh.embedder.network[0].weight),
            )
        ]

    slow, fast = moved(1e-6), moved(100.0)
    assert slow[0] < 1e-5
    assert fast[0] > 0.5
    assert 0.005 < slow[1] < 0.1 and 0.005 < fast[1] < 0.1


def test_every_parameter_is_in_one_group_at_its_rate(run, monkeypatch):
    groups = []
    original = torch.optim.AdamW

    def watch(given, **options):
        groups.append([dict(group) for group in given])
        return original(given, **options)

    monkeypatch.setattr(torch.optim, "AdamW", watch)
    model, _ = run("eat[members=3]", SHORT.model_copy(update={"lr": 0.002, "proxy_lr_scale": 50.0}))
    weights, proxies = groups[0]
    assert (weights["lr"], proxies["lr"]) == (0.002, pytest.approx(0.1))
    expected = [p for module in model.modules() if isinstance(module, Criterion) for p in module.parameters()]
    assert set(map(id, proxies["params"])) == set(map(id, expected))
    assert len(proxies["params"]) == 3
    every = [*weights["params"], *proxies["params"]]
    assert sorted(map(id, every)) == sorted(map(id, model.parameters()))


def test_a_loss_without_proxies_trains_too(make_member, images):
    member = make_member("multi_similarity")
    trained = train(DEFENSES.build("vanilla"), member, images, SHORT, 0.1, count_flops(member, (1, 8, 8)))
    assert len(trained.curve) == 2
    with pytest.raises(UsageError, match="no proxies"):
        train(DEFENSES.build("trades"), member, images, SHORT, 0.1, count_flops(member, (1, 8, 8)))


def test_a_model_without_parameters_is_not_trained(run):
    model, trained = run("pixels")
    assert (trained.cost, trained.relative_cost, trained.embed_cost, trained.curve) == (0, 0, 0, [])
    assert not model.training


def test_progress_is_reported_after_each_epoch(run):
    reported = []
    run("vanilla[epochs_scale=2]", on_epoch=lambda done, total, loss: reported.append((done, total)))
    assert reported == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_the_counter_leaves_no_hooks(run):
    model, _ = run("eat")
    assert not any(module._forward_hooks for module in model.modules())


def test_the_record_says_what_the_time_went_into(run):
    _, trained = run("pgd_at")
    assert list(trained.shares) == ["data", "networks", "optimizer", "other"]
    assert sum(trained.shares.values()) == pytest.approx(1)
    assert trained.shares["networks"] > trained.shares["optimizer"] > 0
    assert trained.gpu_utilization is None and trained.waited_for == ""


def test_every_member_sees_batches_of_one_size_in_an_epoch(run):
    sizes = []

    class Watched(EAT):
        quotas: ClassVar = []

        def loss(self, model, batch, attack):
            assert torch.equal(batch.strata, model.part[batch.index])
            sizes.append(tuple(batch.strata.bincount(minlength=3).tolist()))
            self.quotas[:] = (model.part.bincount() / 3).tolist()  # 32 of 96 images in a batch
            return super().loss(model, batch, attack)

    run(Watched(), SHORT.model_copy(update={"epochs": 8}))
    for epoch in zip(*[iter(sizes)] * 3, strict=True):
        assert len(set(epoch)) == 1
        assert sum(epoch[0]) == 32
        assert all(abs(size - quota) < 1 for size, quota in zip(epoch[0], Watched.quotas, strict=True))
    assert len(set(sizes)) > 1
