"""Defenses whose declarations or model break one requirement each, and how the check reports it."""

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from pydantic import ConfigDict
from torch import nn

from benchmark.models import Ensemble
from defenses import Range

from .sound import Sound, Student, Wrapper, in_type, wrapping


class BuildsNothing(Sound):
    def build(self, make_member, labels):
        return labels


class NoText(Sound):
    # A value that a spec string does not represent.
    model_config = ConfigDict(arbitrary_types_allowed=True)
    name = "no_text"
    weights: Any = (1.0, 2.0)

    @property
    def spec(self):
        return "no_text[weights=1]"


class Untunable(Sound):
    tunable: ClassVar = {"epochs_scale": Range(-1, 2)}


class NoSuchAttack(Sound):
    adaptive = ("pgd[objective=not_there]",)


class Hiding(Ensemble):
    members = property(lambda self: [self.models[0]])

    def forward(self, images):
        return torch.cat([model(images) for model in self.models], dim=1) / len(self.models) ** 0.5


class HiddenMember(Sound):
    def build(self, make_member, labels):
        return Hiding([make_member(), make_member()])

    def loss(self, model, batch, attack):
        first, second = model.models
        adversarial = attack(lambda images: first.loss(first(images), batch.labels), batch.images, model)
        return sum(member.loss(member(adversarial), batch.labels) for member in (first, second))


class Unsaved(Wrapper):
    def __init__(self, member):
        super().__init__(member)
        self.turn = torch.randn(8)

    def forward(self, images):
        return F.normalize(self.member(images) * self.turn)


class LostOnSaving(Sound):
    def build(self, make_member, labels):
        return Unsaved(make_member())


def noisy(self, images):
    return self.member(images + 0.05 * torch.randn_like(images))


def centred(self, images):
    embeddings = self.member(images)
    return F.normalize(embeddings - 0.5 * embeddings.mean(0))


class NeedsNothingKnown(Sound):
    needs = ("vanila",)

    def build(self, make_member, labels, trained):
        return make_member()


class NeedsAString(NeedsNothingKnown):
    needs = "vanilla"


class NeverSized(Sound):
    def build(self, make_member, labels):
        model = make_member()
        model.head = nn.LazyLinear(8)
        return model


class TrainsItsTeacher(Student):
    def build(self, make_member, labels, trained):
        return trained["vanilla"].requires_grad_(True)


class SizedLate(Sound):
    def build(self, make_member, labels):
        model = Wrapper(make_member())
        model.register_buffer("bank", torch.zeros(0))
        return model

    def loss(self, model, batch, attack):
        if not len(model.bank):
            model.bank = torch.zeros(len(batch.labels), model.member.dim)
        return super().loss(model, batch, attack)


class Learned(Wrapper):
    """Scales unit vectors by a learned number."""

    def __init__(self, member):
        super().__init__(member)
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, images):
        return self.scale * self.member(images)


class LearnsLength(Sound):
    def build(self, make_member, labels):
        return Learned(make_member())

    def loss(self, model, batch, attack):
        return super().loss(model, batch, attack) + 10 * model.scale


class KeepsNothing(Sound):
    keep_from: ClassVar = 1.0


class FloatStrata(Sound):
    def build(self, make_member, labels):
        model = Wrapper(make_member())
        model.register_buffer("labels", labels.clone())
        return model

    def strata(self, model):
        return model.labels / 2


class CallsFor(Sound):
    """Is not trained, but builds a member."""

    trained = False


def scale_up(self, images):
    return 2 * self.member(images)


BROKEN = [
    (NeedsNothingKnown, "needs", "Did you mean 'vanilla'"),
    (NeedsAString, "needs", "'vanilla' is a string"),
    (CallsFor, "builds", "gets no members"),
    (NeverSized, "builds", "head.weight has no size yet"),
    (wrapping(lambda self, images: self.member(images).to_sparse()), "builds", "a sparse tensor"),
    (in_type(torch.int64), "builds", "torch.int64 embeddings"),
    (TrainsItsTeacher, "leaves_teachers", "weights, buffers of trained['vanilla']"),
    (SizedLate, "keeps_shapes", "turns bank from shape (0,) to (24, 8)"),
    (LearnsLength, "keeps_promises", "embeddings have length 0.9"),
    (FloatStrata, "strata", "float"),
    (KeepsNothing, "keep_from", "keep_from is 1.0"),
    (BuildsNothing, "builds", "build returns Tensor, not an Embedder"),
    (NoText, "spec", "no_text"),
    (Untunable, "tunable", "epochs_scale=-1"),
    (NoSuchAttack, "adaptive", "not_there"),
    (wrapping(scale_up), "unit_length", "2"),
    (wrapping(noisy), "randomness", "randomised = True"),
    (wrapping(randomised=True), "randomness", "two forward passes are the same"),
    (wrapping(centred), "any_batch", "differs by"),
    (HiddenMember, "members", "leaves out"),
    (LostOnSaving, "checkpoint", "register_buffer"),
]
"""Each with the check that it fails, and words of its report."""
