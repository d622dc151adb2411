import pytest
import torch

from benchmark.core.errors import UsageError
from defenses import DEFENSES, RandomTransforms
from defenses.transforms import TRANSFORMS


def test_trained_as_vanilla_but_embedded_at_random(make_member, batch, images, recorder):
    defense = DEFENSES.build("random_transforms")
    model = defense.build(make_member, images.labels)
    assert model.randomised
    loss = defense.loss(model, batch, recorder)
    assert torch.equal(loss, model.member.criterion(model.member(batch.images), batch.labels))
    model.eval()
    with torch.no_grad():
        first, second, plain = model(batch.images), model(batch.images), model.member(batch.images)
    for pair in ((first, second), (first, plain)):
        assert ((pair[0] - pair[1]).norm(dim=1) > 1e-6).all()


def test_the_full_scale_alone_is_vanilla(make_member, images):
    defense = DEFENSES.build("random_transforms[transform=resize_pad[smallest=1]]")
    model = defense.build(make_member, images.labels).eval()
    with torch.no_grad():
        torch.testing.assert_close(model(images.images), model.member(images.images))


@pytest.mark.parametrize("transform", ["jpeg[quality=20]", "bit_depth[bits=1]"])
def test_trained_on_transformed_images_when_asked(make_member, batch, images, recorder, transform):
    defense = DEFENSES.build(f"random_transforms[train=transformed,transform={transform}]")
    model = defense.build(make_member, images.labels)
    changed = TRANSFORMS.build(transform).apply(batch.images)
    expected = model.member.criterion(model.member(changed), batch.labels)
    assert torch.equal(defense.loss(model, batch, recorder), expected)
    assert not torch.equal(model.member.criterion(model.member(batch.images), batch.labels), expected)
    assert recorder.calls == []


@pytest.mark.parametrize("transform", ["jpeg", "bit_depth"])
def test_attacks_go_through_the_identity_where_there_is_no_gradient(make_member, images, transform):
    model = (
        DEFENSES.build(f"random_transforms[transform={transform}]").build(make_member, images.labels).eval()
    )
    stand_in = model.differentiable()
    inputs = images.images[:8].clone().requires_grad_(True)
    embeddings, true = stand_in(inputs), model(inputs)
    torch.testing.assert_close(embeddings, true)
    target = torch.randn_like(embeddings)
    (gradient,) = torch.autograd.grad((embeddings * target).sum(), inputs)
    changed = model.applied(inputs.detach()).requires_grad_(True)
    (expected,) = torch.autograd.grad((model.member(changed) * target).sum(), changed)
    torch.testing.assert_close(gradient, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))
    assert stand_in.differentiable() is stand_in
    assert stand_in.member is model.member and stand_in.members == model.members
    assert stand_in.applied is model.applied


@pytest.mark.parametrize("train", ["clean", "transformed"])
def test_patches_of_the_training_images_are_kept_with_the_model(make_member, batch, images, recorder, train):
    defense = DEFENSES.build(
        f"random_transforms[train={train},transform=quilting[patch=3,overlap=1,stored=500]]"
    )
    model = defense.build(make_member, images.labels)
    plain = model.member.criterion(model.member(batch.images), batch.labels)
    defense.loss(model, batch, recorder)
    first = model.applied.stored.clone()
    assert first.shape == (24 * 16, 9)
    loss = defense.loss(model, batch, recorder)
    assert model.applied.stored.shape == (500, 9) and torch.equal(model.applied.stored[:384], first)
    assert torch.equal(loss, plain) == (train == "clean")
    other = defense.build(make_member, images.labels)
    other.load_state_dict(model.state_dict())
    found = []
    for one in (model.eval(), other.eval(), other.differentiable()):
        torch.manual_seed(1)
        found.append(one(batch.images))
    assert torch.equal(found[0], found[1])
    torch.testing.assert_close(found[0], found[2])
    assert model.randomised and model.differentiable().randomised


@pytest.mark.parametrize("transform", ["resize_pad", "total_variation", "barrage"])
def test_a_differentiable_model_is_its_own_stand_in(make_member, images, transform):
    model = DEFENSES.build(f"random_transforms[transform={transform}]").build(make_member, images.labels)
    assert model.randomised and model.differentiable() is model


def test_the_spec_is_canonical_and_errors_name_the_transform():
    text = "random_transforms[transform=jpeg[quality=75]]"
    assert DEFENSES.build(text).spec == "random_transforms[transform=jpeg]"
    for text, word in (
        ("jpg", "jpeg"),
        ("jpeg[quality=0]", "quality"),
        ("barrage[least=3,most=2]", "least"),
        ("quilting[overlap=3]", "at most 2"),
        ("quilting[stored=9]", "at least neighbours=10"),
    ):
        with pytest.raises(UsageError, match=word):
            DEFENSES.build(f"random_transforms[transform={text}]")


def test_tuning_has_choices_that_can_be_built():
    for name, values in RandomTransforms.tunable.items():
        for value in values:
            assert getattr(DEFENSES.build(f"random_transforms[{name}={value}]"), name) == value


def test_the_parts_of_a_barrage_are_all_that_it_draws_from():
    parts = {type(part) for part in DEFENSES.build("random_transforms[transform=barrage]").parts()}
    drawn = {type(TRANSFORMS.build(text)) for text in TRANSFORMS.get("barrage").drawn}
    assert drawn < parts and TRANSFORMS.get("barrage") in parts
