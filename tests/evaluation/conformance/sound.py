"""A defense that keeps the contract, which others break in one point, and unusual ones that keep it too."""

import copy

import torch

from benchmark.core.embedder import Embedder
from benchmark.models import Ensemble
from defenses import Defense


class Sound(Defense):
    def loss(self, model, batch, attack):
        member = self.first(model)
        adversarial = attack(lambda images: member.loss(member(images), batch.labels), batch.images, model)
        return member.loss(model(adversarial), batch.labels)

    @staticmethod
    def first(model):
        return model.members[0]


class Wrapper(Embedder):
    """A model around one member."""

    def __init__(self, member):
        super().__init__()
        self.member = member

    @property
    def members(self):
        return [self.member]

    def forward(self, images):
        return self.member(images)


def wrapping(forward=None, **attributes):
    """Makes a defense that is sound except for the forward or the attributes of its model."""
    members = {"forward": forward} if forward else {}
    wrapper = type("Broken", (Wrapper,), {**members, **attributes})

    class Wrapping(Sound):
        def build(self, make_member, labels):
            return wrapper(make_member())

    return Wrapping


def with_side_effect(action):
    """Makes a defense that is sound except for an action at the start of its loss."""

    class WithSideEffect(Sound):
        def loss(self, model, batch, attack):
            action(self, model, batch)
            return super().loss(model, batch, attack)

    return WithSideEffect


class Student(Sound):
    """Continues the training of another method's model; sound."""

    needs = ("vanilla",)

    def build(self, make_member, labels, trained):
        return copy.deepcopy(trained["vanilla"]).requires_grad_(True)

    def loss(self, model, batch, attack):
        clean = model(batch.images).detach()
        adversarial = attack(
            lambda images: -(model(images) * clean).sum(1), batch.images, model, start="clean"
        )
        return model.loss(model(adversarial), batch.labels)


class HeldTeacher(Student):
    """Keeps another method's model within its own, where it is saved; sound."""

    def build(self, make_member, labels, trained):
        model = Wrapper(make_member())
        model.teacher = trained["vanilla"]
        return model

    def loss(self, model, batch, attack):
        member = model.member
        loss = member.loss(model(batch.images), batch.labels)
        return loss + (model(batch.images) - model.teacher(batch.images)).square().sum(1).mean()


class TwoPhases(Sound):
    """Trains its second member in the second half of the training; sound."""

    def build(self, make_member, labels):
        return Ensemble([make_member(), make_member()])

    def loss(self, model, batch, attack):
        member = model.members[int(batch.progress > 0.5)]
        return member.loss(member(batch.images), batch.labels)


class SharedMember(Sound):
    """Holds one member twice; sound."""

    def build(self, make_member, labels):
        return Ensemble([member := make_member(), member])

    def loss(self, model, batch, attack):
        member = model.members[0]
        return member.loss(member(batch.images), batch.labels)


def in_type(dtype):
    """Makes a defense that is sound, with embeddings of another type."""
    return wrapping(lambda self, images: self.member(images).to(dtype))


UNUSUAL = (
    Student,
    HeldTeacher,
    TwoPhases,
    SharedMember,
    *map(in_type, (torch.float16, torch.bfloat16, torch.float64)),
)
"""Defenses that keep the contract in unusual ways."""
