"""Each check finds the one defense that breaks it, and says what to do."""

import os
import warnings
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
import torch.nn.functional as F
from pydantic import ConfigDict

import benchmark
from benchmark.core.embedder import Embedder
from benchmark.core.errors import UsageError
from benchmark.evaluation.conformance import ConformanceError, check_contract, check_defense, defense_checks
from benchmark.evaluation.conformance.contract_check import CONTRACT
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
    """A model around a member, to be broken."""

    def __init__(self, member):
        super().__init__()
        self.member = member

    @property
    def members(self):
        return [self.member]

    def forward(self, images):
        return self.member(images)


def wrapping(forward=None, **attributes):
    """A sound defense, but for the model that it builds."""
    members = {"forward": forward} if forward else {}
    wrapper = type("Broken", (Wrapper,), {**members, **attributes})

    class Wrapping(Sound):
        def build(self, make_member, labels):
            return wrapper(make_member())

    return Wrapping


def doing(what):
    """A sound defense, but for something that its loss does first."""

    class Doing(Sound):
        def loss(self, model, batch, attack):
            what(self, model, batch)
            return super().loss(model, batch, attack)

    return Doing


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
    # A value that is lost on the way through a spec string.
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
    """What it counts is on the model, but not in its state."""

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


BROKEN = [
    (BuildsNothing, "builds", "build returns Tensor, not an Embedder"),
    (NoScalar, "trains", "shape (2,)"),
    (Raises, "trains", "test_conformance.py, line"),
    (NotFinite, "trains", "the loss is inf"),
    (NoText, "spec", "no_text"),
    (Untunable, "tunable", "epochs_scale=-1"),
    (NoSuchAttack, "adaptive", "not_there"),
    (wrapping(scale_up), "unit_length", "2"),
    (wrapping(noisy), "randomness", "randomised = True"),
    (wrapping(randomised=True), "randomness", "two passes are the same"),
    (wrapping(centred), "any_batch", "differs by"),
    (HiddenMember, "members", "leaves out"),
    (LostOnSaving, "checkpoint", "register_buffer"),
    (Rises, "loss_falls", "its sign"),
    (Forgetful, "same_seed", "two runs under one seed differ"),
    (doing(set_seed), "leaves_seeds", "loss seeds the generator of torch"),
    (OneOfTwo, "weight_gradients", "models.1"),
    (doing(set_eval), "leaves_model", "the training mode"),
    (doing(brighten), "leaves_batch", "batch.images"),
    (AttacksTheWrongOne, "attack_model", "training mode during the attack"),
    (UndeclaredProxies, "declares_proxies", "needs_proxies = True"),
    (GreyOnly, "other_shapes_train", "AssertionError"),
    (doing(set_environment), "leaves_settings", "environment"),
    (doing(set_filters), "leaves_settings", "warning filters"),
    (doing(write_here), "writes_nothing", "log.txt"),
    (doing(save_there), "writes_nothing", ".pt"),
    (Remembers, "stays_frozen", "Remembers.seen"),
    (CountsSteps, "goes_on", "after it was saved and loaded"),
]
ALSO = {"checkpoint": {"goes_on"}, "same_seed": {"goes_on"}}
"""Checks that must fail, too."""


def failures(defense):
    return {result.check.name: result.failure for result in check_contract(defense) if result.failure}


@pytest.mark.parametrize(
    ("broken", "name", "said"), BROKEN, ids=[f"{name}-{i}" for i, (_, name, _) in enumerate(BROKEN)]
)
def test_a_broken_defense_fails_exactly_one_check(broken, name, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # one of them writes there
    failed = failures(broken)
    assert set(failed) == {name} | ALSO.get(name, set()), failed
    told = failed[name]
    assert told.startswith(f"{name}: ")
    assert said in told
    assert CONTRACT[name].advice in told
    assert "\n" not in told


def test_a_model_that_hides_its_gradient_fails_and_a_stand_in_mends_it():
    class Detached(Wrapper):
        def forward(self, images):
            # Trained on what it sees; no gradient leads to the image.
            return self.member(images.detach())

    class Hides(Defense):
        def build(self, make_member, labels):
            return Detached(make_member())

        def loss(self, model, batch, attack):
            return model.member.loss(model(batch.images), batch.labels)

    assert list(failures(Hides)) == ["input_gradient"]
    Detached.differentiable = lambda self: self.member
    assert failures(Hides) == {}


def test_a_model_for_one_shape_alone_is_found():
    class Fixed(Wrapper):
        def forward(self, images):
            return self.member(images.reshape(len(images), 1, 16, 16))

    class OneShape(Sound):
        def build(self, make_member, labels):
            return Fixed(make_member())

    assert list(failures(OneShape)) == ["other_shapes", "other_shapes_train"]


def test_every_check_has_a_defense_that_fails_it():
    assert {name for _, name, _ in BROKEN} | {"input_gradient", "other_shapes"} == set(CONTRACT)


def test_all_failures_are_told_at_once_and_the_process_is_as_before():
    class Doubly(Sound):
        def build(self, make_member, labels):
            return type("Long", (Wrapper,), {"forward": scale_up})(make_member())

        def loss(self, model, batch, attack):
            batch.images.mul_(0.9)
            os.environ["CONFORMANCE_TEST"] = "1"
            torch.set_default_dtype(torch.float32)
            return super().loss(model, batch, attack)

    state, folder = torch.get_rng_state(), Path.cwd()
    with pytest.raises(ConformanceError) as caught:
        check_defense(Doubly)
    assert [line.split(":")[0] for line in str(caught.value).splitlines()] == [
        "unit_length",
        "leaves_batch",
        "leaves_settings",
    ]
    assert torch.equal(torch.get_rng_state(), state)
    assert "CONFORMANCE_TEST" not in os.environ
    assert Path.cwd() == folder


def test_a_class_an_instance_and_a_spec_are_taken():
    assert benchmark.check_defense is check_defense
    check_defense(Sound)
    check_defense(Sound(epochs_scale=2.0))
    check_defense("pixels")
    with pytest.raises(UsageError, match="derive from Defense"):
        check_defense(Wrapper)
    with pytest.raises(UsageError, match="Unknown defense"):
        check_defense("not_there")


def test_a_reference_is_not_asked_to_train():
    checks = {check.name for _, check in defense_checks(["pixels"])}
    assert "unit_length" in checks
    assert "loss_falls" not in checks
