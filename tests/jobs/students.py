"""Defenses that need trained models of others, written with nothing but the public contract."""

import copy
from typing import ClassVar, cast

import torch

from benchmark.core.embedder import Embedder
from benchmark.models import frozen
from defenses import Defense


class Held(Embedder):
    """A member that holds the model that it is trained with."""

    def __init__(self, member, teacher):
        super().__init__()
        self.member = member
        self.teacher = teacher

    @property
    def members(self):
        return [self.member]

    def forward(self, images):
        return self.member(images)


class Distilled(Defense):
    """Trains a member of its own, also to embed as a trained vanilla model does; keeps that model."""

    needs: ClassVar = ("vanilla",)
    modes: ClassVar = []

    def build(self, make_member, labels, trained):
        return Held(make_member(), trained["vanilla"])

    def loss(self, model, batch, attack):
        self.modes.append([model.member.training, *{part.training for part in model.teacher.modules()}])
        embeddings = model.member(batch.images)
        distance = 1 - (embeddings * model.teacher(batch.images)).sum(1)
        return model.member.loss(embeddings, batch.labels) + distance.mean()


class FineTuned(Defense):
    """Trains a copy of a trained vanilla model further, on adversarial images and without labels."""

    needs: ClassVar = ("vanilla",)

    def build(self, make_member, labels, trained):
        return copy.deepcopy(trained["vanilla"]).requires_grad_(True)

    def loss(self, model, batch, attack):
        with frozen(model), torch.no_grad():
            clean = model(batch.images)

        def objective(images):
            return (1 - (clean * model(images)).sum(1)).mean()

        return cast("torch.Tensor", objective(attack(objective, batch.images, model, start="gaussian")))


class Cosines(Defense):
    """A chain: needs a method that needs another."""

    needs: ClassVar = ("distilled",)

    def build(self, make_member, labels, trained):
        return Held(make_member(), trained["distilled"])

    def loss(self, model, batch, attack):
        return model.member.loss(model.member(batch.images), batch.labels)
