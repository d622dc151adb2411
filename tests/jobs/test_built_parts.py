"""What a backbone, a loss or a defense builds wrongly fails its training in one line."""

import copy
from typing import ClassVar

import pytest
import torch

from benchmark.core.embedder import Embedder
from benchmark.core.errors import BenchmarkError
from benchmark.data.image_set import ImageSet
from benchmark.jobs.models import build_model, check_teachers
from benchmark.losses import LOSSES
from benchmark.losses.proxy_anchor import ProxyAnchor
from benchmark.models import BACKBONES, SmallConv
from benchmark.models.backbone import BackboneEmbedder
from benchmark.records import ModelKey
from benchmark.training import Recipe, train
from defenses import DEFENSES, Defense
from defenses.vanilla import Vanilla

IMAGES = ImageSet(torch.rand(16, 1, 32, 32), torch.arange(8).repeat(2), torch.arange(16))


@pytest.fixture(autouse=True)
def registries(monkeypatch):
    for registry in (DEFENSES, BACKBONES, LOSSES):
        monkeypatch.setattr(registry, "_entries", dict(registry._entries))


def build(defense=Vanilla, backbone=SmallConv, loss=ProxyAnchor, trained=None):
    for registry, cls in ((DEFENSES, defense), (BACKBONES, backbone), (LOSSES, loss)):
        mine = type(cls.__name__, (cls,), {"__doc__": "Tried.", "__module__": __name__})
        registry.register("tried")(mine)
    key = ModelKey(dataset="glyphs", backbone="tried", loss="tried", defense="tried", seed=0)
    return build_model(key, IMAGES, trained=trained)[0]


class Flat(Embedder):
    def forward(self, images):
        return torch.nn.functional.normalize(images.flatten(1))


def test_a_model_that_is_not_trained_gets_no_labels():
    """Its images are those that it is attacked on."""

    class Untrained(Vanilla):
        trained = False

        def build(self, make_member, labels):
            assert labels.shape == (0,) and labels.dtype == torch.int64
            return Flat()

    assert isinstance(build(Untrained), Flat)


class Plain(SmallConv):
    def build_random(self, image_shape):
        return torch.nn.Flatten()

    def build(self, image_shape, natural=False):
        return torch.nn.Flatten()


class OtherDim(SmallConv):
    def build(self, image_shape, natural=False):
        return BackboneEmbedder(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(32 * 32, 24)))

    def build_random(self, image_shape):
        return self.build(image_shape)


class NoCriterion(ProxyAnchor):
    def build(self, num_classes, dim):
        return torch.nn.Linear(dim, num_classes)


class Labels(Vanilla):
    def build(self, make_member, labels):
        return labels


class Thaws(Defense):
    """Trains the model of another row."""

    needs: ClassVar = ("vanilla",)

    def build(self, make_member, labels, trained):
        return trained["vanilla"].requires_grad_(True)


class FrozenCopy(Thaws):
    def build(self, make_member, labels, trained):
        return copy.deepcopy(trained["vanilla"])

    def loss(self, model, batch, attack):
        return model.loss(model(batch.images), batch.labels)


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"backbone": Plain}, "The backbone tried: it builds Flatten, not a BackboneEmbedder"),
        ({"backbone": OtherDim}, r"The backbone tried: images .* of shape \(1, 24\), not \(1, 64\)"),
        ({"loss": NoCriterion}, "The loss tried: build returns Linear, not a Criterion"),
        ({"defense": Labels}, "tried: build returns Tensor, not an Embedder"),
        ({"defense": Thaws}, r"tried: it sets requires_grad of trained\['vanilla'\].*copy\.deepcopy"),
    ],
)
def test_what_is_built_wrongly_is_refused_in_one_line(wrong, match):
    with pytest.raises(BenchmarkError, match=match) as caught:
        build(**wrong)
    assert len(str(caught.value).splitlines()) == 1


def test_a_teacher_that_is_trained_later_is_noticed():
    teacher = build().requires_grad_(False)
    check_teachers(Vanilla(), {"vanilla": teacher})
    next(teacher.parameters()).requires_grad_(True)
    with pytest.raises(BenchmarkError, match=r"it sets requires_grad of trained\['vanilla'\]"):
        check_teachers(Vanilla(), {"vanilla": teacher})


class PerImage(Vanilla):
    def loss(self, model, batch, attack):
        return super().loss(model, batch, attack).expand(3)


class Detached(Vanilla):
    def loss(self, model, batch, attack):
        return super().loss(model, batch, attack).detach()


@pytest.mark.parametrize(
    ("cls", "match"),
    [
        (PerImage, r"the loss is shape \(3,\), not a scalar tensor\. Return one tensor of shape \(\)"),
        (Detached, r"the loss carries no gradient\. Return one tensor"),
        (FrozenCopy, r"every parameter of the model is frozen.*requires_grad_\(True\)"),
    ],
)
def test_a_loss_that_cannot_be_minimized_fails_the_training(cls, match):
    model = build(cls)
    with pytest.raises(BenchmarkError, match=match):
        train(cls(), model, IMAGES, Recipe(batch_size=8, validation=0), 0.1, 1, epochs=1)
