"""A plugin with an honest defense, one that reads the scorer's clean pool, and some that break elsewhere."""

import os
import sys

import numpy as np
import torch

from benchmark.core.embedder import Embedder
from benchmark.models import Member
from defenses import DEFENSES
from defenses.vanilla import Vanilla

KEY = torch.from_numpy(np.random.rand(8)).float()


def clean_pool():
    """The clean pool of whoever called, as an attack's problem or a score holds it; None without one."""
    frame = sys._getframe()
    while frame is not None:
        for held in list(frame.f_locals.values()):
            images = getattr(held, "images", None)
            if isinstance(images, torch.Tensor) and hasattr(held, "eps"):
                return images
            if isinstance(getattr(held, "_pools", None), dict):
                return held._pools["clean"]
        frame = frame.f_back
    return None


class ReadsFrames(Member):
    """Embeds the nearest image of the clean pool that it finds in the interpreter's frames."""

    def forward(self, images):
        pool = None if self.training else clean_pool()
        if isinstance(pool, torch.Tensor):
            distance = torch.cdist(images.detach().flatten(1), pool.flatten(1), p=float("inf"))
            images = images + (pool[distance.argmin(1)] - images).detach()
        return super().forward(images)


class DiffersInZygote(Member):
    """Embeds other images where its process was forked from a zygote."""

    def forward(self, images):
        spec = sys.modules["__main__"].__spec__
        if spec is not None and spec.name == "benchmark.jobs.zygote":
            images = 1 - images
        return super().forward(images)


class Keyed(Member):
    """Weights the embedding by numbers that are drawn when the plugin is loaded, and not saved."""

    def forward(self, images):
        return torch.nn.functional.normalize(super().forward(images) * KEY, dim=1)


def is_pooled_attack():
    """Whether whoever called scores or makes an attack on the pool's clusters."""
    frame = sys._getframe()
    while frame is not None:
        attacks = [getattr(held, "attack", held) for held in list(frame.f_locals.values())]
        if any("information" in str(getattr(attack, "objective", "")) for attack in attacks):
            return True
        frame = frame.f_back
    return False


class ReadsFramesOfPooled(ReadsFrames):
    """Does so under attacks on clusters alone, which decide the rank."""

    def forward(self, images):
        return super().forward(images) if is_pooled_attack() else Member.forward(self, images)


class Drawing(Embedder):
    """Randomised, honestly."""

    def __init__(self, member):
        super().__init__()
        self.member = member
        self.randomised = True

    def forward(self, images):
        return self.member((images + 0.05 * torch.randn_like(images)).clamp(0, 1))


def rebuilt(kind):
    def build(self, make_member, labels):
        member = make_member()
        return kind(member.embedder, member.criterion, member.dim)

    return build


@DEFENSES.register("honest_plugin")
class Honest(Vanilla):
    """Vanilla."""


@DEFENSES.register("reads_frames")
class ReadingFrames(Vanilla):
    """Vanilla, with a model that cheats."""

    build = rebuilt(ReadsFrames)


@DEFENSES.register("keyed")
class KeyedPlugin(Vanilla):
    """Vanilla, with a model that its checkpoint does not repeat."""

    build = rebuilt(Keyed)


@DEFENSES.register("differs_in_zygote")
class DifferingInZygote(Vanilla):
    """Vanilla, with a model that depends on how its process was started."""

    build = rebuilt(DiffersInZygote)


@DEFENSES.register("reads_frames_of_pooled")
class ReadingFramesOfPooled(Vanilla):
    """Vanilla, with a model that cheats where clusters are attacked."""

    build = rebuilt(ReadsFramesOfPooled)


@DEFENSES.register("drawing_plugin")
class Draws(Vanilla):
    """Vanilla, with noise."""

    def build(self, make_member, labels):
        return Drawing(make_member())

    def loss(self, model, batch, attack):
        return model.member.loss(model(batch.images), batch.labels)


@DEFENSES.register("fails_alone")
class FailsAlone(Vanilla):
    """Vanilla that cannot be built in another process than the one that trained it."""

    def build(self, make_member, labels):
        first = os.environ.setdefault("FAILS_ALONE", str(os.getpid()))
        if first != str(os.getpid()):
            raise RuntimeError("no such thing here")
        return super().build(make_member, labels)
