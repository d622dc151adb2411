"""Defenses that break one requirement of the contract each, and how the check reports it."""

import os
import warnings
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
import torch.nn.functional as F
from pydantic import ConfigDict

from benchmark.core.embedder import Embedder
from benchmark.models import Ensemble
from defenses import Defense, Range


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


class BuildsNothing(Sound):
    def build(self, make_member, labels):
        return labels


class NoScalar(Sound):
    def loss(self, model, batch, attack):
        return super().loss(model, batch, attack).expand(2)


class Raises(Sound):
    def loss(self, model, batch, attack):
        raise KeyError("temperature")


class NotFinite(Sound):
    def loss(self, model, batch, attack):
        return super().loss(model, batch, attack) / 0


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


class Rises(Sound):
    def loss(self, model, batch, attack):
        loss = super().loss(model, batch, attack)
        return 2 * loss.detach() - loss  # the right value, and the wrong gradient


class Forgetful(Sound):
    def loss(self, model, batch, attack):
        return super().loss(model, batch, attack) * (1 + int.from_bytes(os.urandom(2), "big") / 1e9)


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


def noisy(self, images):
    return self.member(images + 0.05 * torch.randn_like(images))


def centred(self, images):
    embeddings = self.member(images)
    return F.normalize(embeddings - 0.5 * embeddings.mean(0))


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


def scale_up(self, images):
    return 2 * self.member(images)


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


BROKEN_DEFENSES = [
    (BuildsNothing, "builds", "build returns Tensor, not an Embedder"),
    (NoScalar, "trains", "shape (2,)"),
    (Raises, "trains", "conftest.py, line"),
    (NotFinite, "trains", "the loss is inf"),
    (NoText, "spec", "no_text"),
    (Untunable, "tunable", "epochs_scale=-1"),
    (NoSuchAttack, "adaptive", "not_there"),
    (wrapping(scale_up), "unit_length", "2"),
    (wrapping(noisy), "randomness", "randomised = True"),
    (wrapping(randomised=True), "randomness", "two forward passes are the same"),
    (wrapping(centred), "any_batch", "differs by"),
    (HiddenMember, "members", "leaves out"),
    (LostOnSaving, "checkpoint", "register_buffer"),
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
]
ALSO_FAIL = {"checkpoint": {"resumes"}, "same_seed": {"resumes"}}
"""Checks that fail as well, by the check that is expected to fail."""


@pytest.fixture(
    params=BROKEN_DEFENSES, ids=[f"{check}-{i}" for i, (_, check, _) in enumerate(BROKEN_DEFENSES)]
)
def broken(request):
    """A broken defense, every check that it fails, the check it is made for, and words of the report."""
    defense, check, message = request.param
    return defense, {check} | ALSO_FAIL.get(check, set()), check, message


@pytest.fixture(scope="session")
def checks_with_a_broken_defense():
    return {check for _, check, _ in BROKEN_DEFENSES}


@pytest.fixture(scope="session")
def sound_class():
    """A defense that fails no check."""
    return Sound


@pytest.fixture(scope="session")
def wrapper_class():
    return Wrapper
