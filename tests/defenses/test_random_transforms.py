import sys

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from benchmark.core.errors import UsageError
from benchmark.planning.identity import _neighbours
from defenses import DEFENSES, RandomTransforms
from defenses.transforms import TRANSFORMS
from defenses.transforms.resize_pad import resize_and_pad

IMAGES = torch.rand(3, 2, 8, 8, generator=torch.Generator().manual_seed(0))


def transform(images, scale, x, y):
    count = len(images)
    return resize_and_pad(images, torch.full((count,), scale), torch.tensor([[x, y]]).repeat(count, 1))


@pytest.mark.parametrize(("x", "y"), [(0.0, 0.0), (0.5, 1.0), (0.3, 0.7)])
def test_the_full_scale_changes_nothing(x, y):
    torch.testing.assert_close(transform(IMAGES, 1.0, x, y), IMAGES)


@pytest.mark.parametrize(("x", "left"), [(0.0, 0), (0.5, 2), (1.0, 4)])
@pytest.mark.parametrize(("y", "top"), [(0.0, 0), (0.5, 2), (1.0, 4)])
def test_half_the_size_against_interpolation_and_padding(x, left, y, top):
    small = F.interpolate(IMAGES, size=(4, 4), mode="bilinear", align_corners=False)
    expected = torch.zeros_like(IMAGES)
    expected[:, :, top : top + 4, left : left + 4] = small
    torch.testing.assert_close(transform(IMAGES, 0.5, x, y), expected)


@given(scale=st.floats(0.3, 1.0), x=st.floats(0, 1), y=st.floats(0, 1))
def test_size_and_place_on_a_canvas_of_the_old_size(scale, x, y):
    found = transform(torch.ones(1, 1, 10, 20), scale, x, y)[0, 0]
    assert found.shape == (10, 20)
    assert found.min() >= 0 and found.max() <= 1 + 1e-5
    # An edge is blurred over half a pixel of the large image, that is scale / 2 of the small one.
    for values, length, place in ((found.amax(1), 10, y), (found.amax(0), 20, x)):
        first = place * (1 - scale) * length
        centres = torch.arange(length) + 0.5
        outside = (centres - first < -scale / 2 - 1e-4) | (
            centres - first > scale * length + scale / 2 + 1e-4
        )
        inside = (centres - first > scale / 2 + 1e-4) & (centres - first < scale * length - scale / 2 - 1e-4)
        assert (values[outside] < 1e-4).all()
        assert (values[inside] > 1 - 1e-3).all()


@given(seed=st.integers(0, 100))
def test_each_image_gets_a_transform_of_its_own_and_stays_in_the_range(seed):
    torch.manual_seed(seed)
    images, scales, places = torch.rand(4, 1, 6, 6).round(), 0.5 + 0.5 * torch.rand(4), torch.rand(4, 2)
    found = resize_and_pad(images, scales, places)
    assert found.min() >= -1e-6 and found.max() <= 1 + 1e-6
    for i in range(4):
        alone = resize_and_pad(images[i : i + 1], scales[i : i + 1], places[i : i + 1])
        torch.testing.assert_close(found[i : i + 1], alone)


def test_gradients_agree_with_finite_differences():
    images = torch.rand(2, 1, 4, 4, dtype=torch.float64, requires_grad=True)
    scales, places = torch.tensor([0.83, 0.61], dtype=torch.float64), torch.rand(2, 2, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: resize_and_pad(x, scales, places), images)


@pytest.mark.parametrize("smallest", [0.5, 0.9])
def test_scales_and_places_are_drawn_over_their_whole_range(make_member, images, monkeypatch, smallest):
    import defenses.transforms.resize_pad as module

    spec = f"random_transforms[transform=resize_pad[smallest={smallest}]]"
    model = DEFENSES.build(spec).build(make_member, images.labels).eval()
    drawn = []
    original = module.resize_and_pad
    monkeypatch.setattr(module, "resize_and_pad", lambda *args: drawn.append(args[1:]) or original(*args))
    with torch.no_grad():
        model(images.images.repeat(20, 1, 1, 1))
    ((scales, places),) = drawn
    assert smallest <= scales.min() < smallest + 0.02 * (1 - smallest)
    assert 1 - 0.02 * (1 - smallest) < scales.max() <= 1
    assert places.shape == (1920, 2)
    assert places.min() < 0.02 and places.max() > 0.98
    assert len(scales.unique()) > 1500


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
def test_trained_on_transformed_images_when_told(make_member, batch, images, recorder, transform):
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
    changed = model.transform.apply(inputs.detach()).requires_grad_(True)
    (expected,) = torch.autograd.grad((model.member(changed) * target).sum(), changed)
    torch.testing.assert_close(gradient, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))
    assert stand_in.differentiable() is stand_in
    assert stand_in.member is model.member and stand_in.members == model.members


@pytest.mark.parametrize("transform", ["resize_pad", "total_variation", "barrage"])
def test_random_ones_are_their_own_stand_in(make_member, images, transform):
    model = DEFENSES.build(f"random_transforms[transform={transform}]").build(make_member, images.labels)
    assert model.randomised and model.differentiable() is model


def test_the_spec_is_canonical_and_errors_name_the_transform():
    text = "random_transforms[transform=jpeg[quality=75]]"
    assert DEFENSES.build(text).spec == "random_transforms[transform=jpeg]"
    for text, word in (("jpg", "jpeg"), ("jpeg[quality=0]", "quality"), ("barrage[least=3,most=2]", "least")):
        with pytest.raises(UsageError, match=word):
            DEFENSES.build(f"random_transforms[transform={text}]")


def test_tuning_has_choices_that_can_be_built():
    for name, values in RandomTransforms.tunable.items():
        for value in values:
            assert getattr(DEFENSES.build(f"random_transforms[{name}={value}]"), name) == value


def test_a_models_identity_holds_the_source_of_every_transform():
    found = _neighbours(sys.modules["defenses.random_transforms"], {"defenses"})
    assert "defenses.transforms" in found
    beyond = _neighbours(sys.modules["defenses.transforms"], {"defenses"})
    assert {TRANSFORMS.get(name).__module__ for name in TRANSFORMS.names()} <= beyond
