"""Each check of the contract of losses fails for a loss that breaks it."""

from typing import ClassVar

import pytest
import torch
from torch import nn

from benchmark.evaluation.conformance.losses import LOSS
from benchmark.losses import LOSSES, Criterion, Loss
from benchmark.losses.base import cosines_to_rows

from .results import failures


class Proxies(nn.Module):
    """Cross-entropy over cosines to proxies."""

    def __init__(self, classes, dim):
        super().__init__()
        self.proxies = nn.Parameter(torch.randn(classes, dim))
        self.miner = None

    def forward(self, embeddings, labels, mined=None):
        return nn.functional.cross_entropy(4 * cosines_to_rows(self, embeddings), labels)


class Sound(Loss):
    """A sound loss."""

    name = "sound"
    kind: ClassVar = Proxies
    cosines: ClassVar = staticmethod(cosines_to_rows)
    scale: float = 1.0

    def build(self, num_classes, dim):
        return Criterion(self.kind(num_classes, dim), self.cosines)


class OtherSpec(Sound):
    @property
    def spec(self):
        return "sound[scale=2]"


class NoCriterion(Sound):
    def build(self, num_classes, dim):
        return Proxies(num_classes, dim)


class Each(Sound):
    class kind(Proxies):  # noqa: N801
        def forward(self, embeddings, labels, mined=None):
            return embeddings[:, 0] * self.proxies.sum()


class Unused(Sound):
    class kind(Proxies):  # noqa: N801
        def forward(self, embeddings, labels, mined=None):
            return embeddings[:, 0].sum()


class OnPairs(Sound):
    """Divides by the number of pairs of one class, of which a batch may have none."""

    class kind(Proxies):  # noqa: N801
        def forward(self, embeddings, labels, mined=None):
            pairs = (labels[:, None] == labels).float() - torch.eye(len(labels))
            loss = super().forward(embeddings, labels)
            return loss - (pairs * (embeddings @ embeddings.t())).sum() / pairs.sum()


class NotDeclared(Sound):
    has_proxies: ClassVar = False


class NoCosines(Sound):
    cosines: ClassVar = None


class Transposed(Sound):
    cosines: ClassVar = staticmethod(lambda loss, embeddings: cosines_to_rows(loss, embeddings).t())


class NotSaved(Sound):
    class kind(Proxies):  # noqa: N801
        def __init__(self, classes, dim):
            super().__init__(classes, dim)
            self.scale = torch.rand(())

        def forward(self, embeddings, labels, mined=None):
            return self.scale * super().forward(embeddings, labels)


class Counting(Sound):
    class kind(Proxies):  # noqa: N801
        """Becomes steeper with each step, which it counts where nothing saves it."""

        steps = 0

        def forward(self, embeddings, labels, mined=None):
            self.steps += 1
            return (1 + 0.01 * self.steps) * super().forward(embeddings, labels)


class Backwards(Sound):
    class kind(Proxies):  # noqa: N801
        def forward(self, embeddings, labels, mined=None):
            return -super().forward(embeddings, labels)


class Scattering(Loss):
    """The mean cosine of images of one class."""

    name = "scattering"
    has_proxies: ClassVar = False

    def build(self, num_classes, dim):
        class Pairs(nn.Module):
            def forward(self, embeddings, labels, mined=None):
                return (embeddings @ embeddings.t())[labels[:, None] == labels].mean()

        return Criterion(Pairs())


class Doubling(Sound):
    class kind(Proxies):  # noqa: N801
        def forward(self, embeddings, labels, mined=None):
            embeddings.data.mul_(2)
            return super().forward(embeddings, labels)


class SetsDtype(Sound):
    def build(self, num_classes, dim):
        torch.autograd.set_detect_anomaly(True)
        return super().build(num_classes, dim)


BROKEN = [
    (OtherSpec, "spec", "gives another sound"),
    (NoCriterion, "builds", "build returns Proxies, not a Criterion"),
    (Each, "scalar", "the loss is shape (24,)"),
    (Unused, "scalar", "no gradient reaches loss.proxies"),
    (OnPairs, "no_tuples", "the loss is nan"),
    (NotDeclared, "proxies", "has_proxies is False"),
    (NoCosines, "proxies", "has_proxies is True"),
    (Transposed, "proxies", "shape (6, 24), not (24, 6)"),
    (NotSaved, "checkpoint", "gives another loss"),
    (Counting, "checkpoint", "gives another loss"),
    (Backwards, "gathers", "with their proxy"),
    (Scattering, "gathers", "with images of their class"),
    (Doubling, "gathers", "in place"),
    (SetsDtype, "leaves_settings", "the anomaly mode"),
]


@pytest.mark.parametrize(("loss", "check", "message"), BROKEN)
def test_a_broken_loss_fails_exactly_its_check(loss, check, message):
    found = failures(loss)
    assert set(found) == {check}, found
    assert message in found[check]


def test_every_check_of_losses_has_a_class_that_fails_it():
    assert {check for _, check, _ in BROKEN} == set(LOSS.checks)


@pytest.mark.parametrize("name", LOSSES.names())
def test_the_projects_losses_fail_no_check(name):
    assert failures(LOSSES.build(name)) == {}
