import warnings

import numpy as np
import pytest
import torch
from safetensors.torch import load_model, save_model

from benchmark.core.errors import UsageError
from benchmark.core.seeding import seed_everything
from benchmark.models import Member
from benchmark.training import TrainingAttack
from defenses import ALL, DEFENSES, GROUPS

TRAINED = [name for name, cls in DEFENSES.items() if not cls.reference]
ATTACK = TrainingAttack(eps=0.1, steps=2, step=0.5)


@pytest.fixture(params=DEFENSES.names())
def any_defense(request):
    return DEFENSES.build(request.param)


@pytest.fixture(params=TRAINED)
def defense(request):
    return DEFENSES.build(request.param)


@pytest.fixture
def build(make_member, images):
    def make(defense, seed=0, loss="proxy_anchor"):
        seed_everything("model", seed)
        return defense.build(lambda: make_member(loss), images.labels)

    return make


def embed(model, images):
    torch.manual_seed(99)  # of a randomised model, the same draws
    with torch.no_grad():
        return model.eval()(images)


def test_the_seven():
    assert ALL == ("vanilla", "pgd_at", "trades", "adp", "mixup", "random_transforms", "eat")
    assert GROUPS["all"] == ALL
    assert set(ALL) <= set(TRAINED)


def test_embeddings_are_unit_vectors_and_the_input_gets_a_gradient(any_defense, build, images):
    model = build(any_defense).train()
    with torch.no_grad():
        for _ in range(10):  # batch norm's running statistics settle
            model(images.images)
    model.eval()
    inputs = images.images.clone().requires_grad_(True)
    embeddings = model.differentiable()(inputs)
    torch.testing.assert_close(embeddings.norm(dim=1), torch.ones(len(images)))
    target = torch.randn_like(embeddings)
    (gradient,) = torch.autograd.grad((embeddings * target).sum(), inputs)
    assert torch.isfinite(gradient).all()
    # Not for every single one: a network as narrow as this may be dead at an image.
    assert float((gradient.flatten(1).abs().amax(1) > 0).double().mean()) > 0.9


def test_says_truly_whether_it_is_randomised(any_defense, build, images):
    model = build(any_defense).eval()
    with torch.no_grad():
        assert model.randomised != torch.equal(model(images.images[:8]), model(images.images[:8]))


def test_members_are_what_images_pass_through(defense, build, images):
    model = build(defense).eval()
    seen = []
    for member in model.members:
        assert isinstance(member, Member)
        member.register_forward_hook(lambda module, inputs, output: seen.append((module, len(inputs[0]))))
    embed(model, images.images[:5])
    assert seen == [(member, 5) for member in model.members]


def test_an_image_is_embedded_alike_in_any_batch(any_defense, build, images):
    model = build(any_defense)
    if model.randomised:
        pytest.skip("draws for each batch")
    whole = embed(model, images.images[:10])
    torch.testing.assert_close(embed(model, images.images[3:5]), whole[3:5])


def test_a_few_steps_lower_the_loss(defense, build, batch):
    model = build(defense).train()
    optimiser = torch.optim.Adam(model.parameters(), lr=0.01)
    values = []
    for step in range(24):
        torch.manual_seed(step % 6)  # of a method with draws of its own, the same ones again
        loss = defense.loss(model, batch, ATTACK)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        values.append(float(loss.detach()))
    assert np.isfinite(values).all()
    assert np.mean(values[-6:]) < np.mean(values[:6]) - 0.1


def test_every_parameter_is_trained(defense, build, batch):
    model = build(defense).train()
    defense.loss(model, batch, ATTACK).backward()
    without = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert without == []
    for member in model.members:
        assert any(float(parameter.grad.abs().sum()) > 0 for parameter in member.parameters())


def test_a_checkpoint_gives_the_same_embeddings(any_defense, build, images, batch, tmp_path):
    first, second = build(any_defense, seed=1), build(any_defense, seed=2)
    if not any_defense.reference:
        loss = any_defense.loss(first.train(), batch, ATTACK)  # moves the batch norm's statistics
        loss.backward()
        assert not torch.equal(embed(first, images.images), embed(second, images.images))
    save_model(first, str(tmp_path / "model.safetensors"))
    load_model(second, str(tmp_path / "model.safetensors"))
    assert torch.equal(embed(first, images.images), embed(second, images.images))
    assert all(torch.equal(value, second.state_dict()[key]) for key, value in first.state_dict().items())


def test_the_same_seed_gives_the_same_model_and_loss(defense, build, batch):
    runs = []
    for seed in (5, 5, 6):
        model = build(defense, seed).train()
        loss = defense.loss(model, batch, ATTACK)
        loss.backward()
        runs.append((loss.detach(), [parameter.grad for parameter in model.parameters()]))
    assert torch.equal(runs[0][0], runs[1][0])
    assert all(torch.equal(a, b) for a, b in zip(runs[0][1], runs[1][1], strict=True))
    assert not torch.equal(runs[0][0], runs[2][0])


def test_the_first_member_starts_from_the_same_weights_under_every_defense(defense, build, images):
    plain = embed(build(DEFENSES.build("vanilla")), images.images[:5])
    first = embed(build(defense).members[0], images.images[:5])
    assert torch.equal(plain, first)


def test_proxies_are_needed_where_it_says_so(defense, build, batch):
    model = build(defense, loss="multi_similarity").train()
    if defense.needs_proxies:
        with pytest.raises(UsageError, match="no proxies"):
            defense.loss(model, batch, ATTACK)
    else:
        assert torch.isfinite(defense.loss(model, batch, ATTACK))


def test_works_with_the_other_loss_that_has_proxies(defense, build, batch):
    assert torch.isfinite(defense.loss(build(defense, loss="normalized_softmax").train(), batch, ATTACK))


def test_a_loss_leaves_the_rest_as_it_was(defense, build, batch):
    model = build(defense).train()

    def state():
        return (
            torch.is_grad_enabled(),
            torch.get_default_dtype(),
            torch.get_num_threads(),
            torch.are_deterministic_algorithms_enabled(),
            list(warnings.filters),
            [module.training for module in model.modules()],
            [parameter.requires_grad for parameter in model.parameters()],
            [parameter.grad for parameter in model.parameters()],
        )

    before = state()
    given = [tensor.clone() for tensor in (batch.images, batch.labels, batch.index)]
    loss = defense.loss(model, batch, ATTACK)
    assert loss.shape == ()
    assert state() == before
    assert all(map(torch.equal, given, (batch.images, batch.labels, batch.index)))


@pytest.mark.parametrize(
    "text", ["trades[beta=-1]", "mixup[alpha=0]", "adp[members=1]", "eat[members=11]", "eat[split=half]"]
)
def test_bad_parameters_give_one_line(text):
    with pytest.raises(UsageError) as caught:
        DEFENSES.build(text)
    assert len(str(caught.value).splitlines()) == 1


def test_pixels_are_the_image_itself(build, images):
    defense = DEFENSES.build("pixels")
    embeddings = embed(build(defense), images.images[:3])
    flat = images.images[:3].flatten(1)
    torch.testing.assert_close(embeddings, flat / flat.norm(dim=1, keepdim=True))
    assert defense.reference
