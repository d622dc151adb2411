"""Defenses whose training step breaks one requirement each, and how the check reports it."""

import copy
import os
import warnings
from pathlib import Path
from typing import ClassVar

import torch
import torch.nn.functional as F

from benchmark.models import Ensemble

from .sound import Sound, Student, Wrapper, with_side_effect


class NoScalar(Sound):
    def loss(self, model, batch, attack):
        return super().loss(model, batch, attack).expand(2)


class Raises(Sound):
    def loss(self, model, batch, attack):
        raise KeyError("temperature")


class NotFinite(Sound):
    def loss(self, model, batch, attack):
        return super().loss(model, batch, attack) / 0


class Rises(Sound):
    def loss(self, model, batch, attack):
        loss = super().loss(model, batch, attack)
        return 2 * loss.detach() - loss  # the right value, and the wrong gradient


class Forgetful(Sound):
    def loss(self, model, batch, attack):
        return super().loss(model, batch, attack) * (1 + int.from_bytes(os.urandom(2), "big") / 1e7)


class OneOfTwo(Sound):
    def build(self, make_member, labels):
        return Ensemble([make_member(), make_member()])

    def loss(self, model, batch, attack):
        member = model.members[0]
        return member.loss(member(batch.images), batch.labels)


class AttacksTheWrongOne(Sound):
    def build(self, make_member, labels):
        return Ensemble([make_member(), make_member()])

    def loss(self, model, batch, attack):
        first, second = model.members

        def joint(images):
            return first.loss(first(images), batch.labels) + second.loss(second(images), batch.labels)

        return joint(attack(joint, batch.images, first))


class UndeclaredProxies(Sound):
    def loss(self, model, batch, attack):
        return F.cross_entropy(model.class_cosines(model(batch.images)), batch.labels)


class GreyOnly(Sound):
    def loss(self, model, batch, attack):
        assert batch.images.shape[1] == 1
        return super().loss(model, batch, attack)


class Remembers(Sound):
    seen: ClassVar[list[int]] = []

    def loss(self, model, batch, attack):
        self.seen.append(len(batch.labels))
        return super().loss(model, batch, attack)


class CountsSteps(Sound):
    """Counts steps in an attribute of the model that is not a part of its state."""

    def build(self, make_member, labels):
        member = make_member()
        member.steps = 0
        return member

    def loss(self, model, batch, attack):
        model.steps += 1
        return super().loss(model, batch, attack) * (1 + 1 / model.steps)


class Centered(Wrapper):
    """Embeds around a center that is no part of its state."""

    def __init__(self, member):
        super().__init__(member)
        self.center = torch.zeros(member.dim)

    def forward(self, images):
        return F.normalize(self.member(images) - 0.5 * self.center)


class LosesTheCenter(Sound):
    def build(self, make_member, labels):
        return Centered(make_member())

    def loss(self, model, batch, attack):
        member = model.member
        embeddings = member(batch.images)
        model.center = embeddings.detach().mean(0)
        return member.loss(embeddings, batch.labels)


class FrozenCopy(Student):
    def build(self, make_member, labels, trained):
        return copy.deepcopy(trained["vanilla"])


class FailsLate(Sound):
    """Has a second phase, whose loss is no number."""

    def loss(self, model, batch, attack):
        loss = super().loss(model, batch, attack)
        return loss / 0 if batch.progress > 0.5 else loss


def brighten(self, model, batch):
    batch.images.mul_(0.9)


def set_eval(self, model, batch):
    self.first(model).embedder.eval()


def set_seed(self, model, batch):
    torch.manual_seed(0)


def set_environment(self, model, batch):
    os.environ["CONFORMANCE_TEST"] = "1"


def set_filters(self, model, batch):
    warnings.simplefilter("ignore", ResourceWarning)


def write_here(self, model, batch):
    Path("log.txt").write_text("loss")


def save_there(self, model, batch, folder="/tmp"):
    torch.save({}, f"{folder}/conformance_test_{os.getpid()}.pt")
    Path(f"{folder}/conformance_test_{os.getpid()}.pt").unlink()


BROKEN = [
    (FailsLate, "trains", "at batch.progress 0.99, the loss is inf"),
    (FrozenCopy, "trains", "every parameter of the model is frozen, so nothing can be trained. Call"),
    (NoScalar, "trains", "shape (2,)"),
    (Raises, "trains", "broken_steps.py, line"),
    (NotFinite, "trains", "the loss is inf"),
    (Rises, "loss_falls", "its sign"),
    (Forgetful, "same_seed", "two runs under one seed differ"),
    (with_side_effect(set_seed), "leaves_seeds", "loss seeds the generator of torch"),
    (OneOfTwo, "weight_gradients", "models.1"),
    (with_side_effect(set_eval), "leaves_model", "the training mode"),
    (with_side_effect(brighten), "leaves_batch", "batch.images"),
    (AttacksTheWrongOne, "attack_model", "training mode during the attack"),
    (UndeclaredProxies, "declares_proxies", "needs_proxies = True"),
    (GreyOnly, "other_shapes_train", "AssertionError"),
    (with_side_effect(set_environment), "leaves_settings", "environment"),
    (with_side_effect(set_filters), "leaves_settings", "warning filters"),
    (with_side_effect(write_here), "writes_nothing", "log.txt"),
    (with_side_effect(save_there), "writes_nothing", ".pt"),
    (Remembers, "stays_frozen", "Remembers.seen"),
    (CountsSteps, "resumes", "after it was saved and loaded"),
    (LosesTheCenter, "keeps_state", "in parameters or buffers"),
]
"""Each with the check that it fails, and words of its report."""
