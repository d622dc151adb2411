"""Each check of the contract of backbones fails for a backbone that breaks it."""

from typing import ClassVar

import pytest
import torch
from torch import nn

from benchmark.core.errors import BenchmarkError, UsageError
from benchmark.evaluation.conformance.backbones import BACKBONE
from benchmark.models import Backbone
from benchmark.models.backbone import BackboneEmbedder

from .results import failures, skipped


class Net(nn.Module):
    """A linear network with batch norm."""

    def __init__(self, shape, dim):
        super().__init__()
        self.linear = nn.Linear(shape[0] * shape[1] * shape[2], dim)

    def forward(self, images):
        return self.linear(images.flatten(1) - 0.5)


class Sound(Backbone):
    """A sound backbone."""

    name = "sound"
    network: ClassVar = Net
    embedder: ClassVar = BackboneEmbedder

    def build(self, image_shape, natural=False):
        return self.embedder(self.network(image_shape, self.dim))


class OtherSpec(Sound):
    @property
    def spec(self):
        return "sound[dim=8]"


class Bare(Sound):
    embedder: ClassVar = staticmethod(lambda network: network)


class OtherDim(Sound):
    def build(self, image_shape, natural=False):
        return BackboneEmbedder(Net(image_shape, 5))


class Long(Sound):
    class embedder(BackboneEmbedder):  # noqa: N801
        def forward(self, images):
            return 2 * super().forward(images)


class Centred(Sound):
    class network(Net):  # noqa: N801
        def forward(self, images):
            found = super().forward(images)
            return found - 0.5 * found.mean(0)


class Dropping(Sound):
    class network(Net):  # noqa: N801
        def forward(self, images):
            return nn.functional.dropout(super().forward(images), 0.5)


class Detached(Sound):
    class network(Net):  # noqa: N801
        def forward(self, images):
            return super().forward(images.detach())


class NotSaved(Sound):
    class network(Net):  # noqa: N801
        def __init__(self, shape, dim):
            super().__init__(shape, dim)
            self.turn = torch.randn(dim)

        def forward(self, images):
            return self.turn * super().forward(images)


class Seeds(Sound):
    def build(self, image_shape, natural=False):
        torch.manual_seed(0)
        return super().build(image_shape)


BROKEN = [
    (OtherSpec, "spec", "gives another sound"),
    (Bare, "builds", "it builds Net, not a BackboneEmbedder"),
    (OtherDim, "builds", "shape (4, 5), not (4, 64)"),
    (Long, "unit_length", "the length 2"),
    (Centred, "any_batch", "differs by"),
    (Dropping, "any_batch", "two forward passes differ"),
    (Detached, "gradients", "no gradient reaches the input"),
    (NotSaved, "checkpoint", "other embeddings"),
    (Seeds, "leaves_settings", "seeds the generator of torch"),
]
ALSO_FAIL = {Dropping: {"checkpoint"}}


@pytest.mark.parametrize(("backbone", "check", "message"), BROKEN)
def test_a_broken_backbone_fails_exactly_its_check(backbone, check, message):
    found = failures(backbone)
    assert set(found) == {check} | ALSO_FAIL.get(backbone, set()), found
    assert message in found[check]


def test_every_check_of_backbones_has_a_class_that_fails_it():
    assert {check for _, check, _ in BROKEN} == set(BACKBONE.checks)


class ColorOf64(Sound):
    def check(self, image_shape, natural=False):
        if image_shape[0] != 3 or image_shape[1] < 64:
            raise UsageError("It needs color images from 64 pixels.")


class OfBillboards(Sound):
    def build(self, image_shape, natural=False):
        raise UsageError("It needs images of 4096 pixels.")


class Unreachable(Sound):
    def build(self, image_shape, natural=False):
        raise BenchmarkError("No connection.")

    def build_random(self, image_shape):
        return super().build(image_shape)


def test_shapes_may_be_refused():
    assert failures(ColorOf64) == {}
    assert skipped(ColorOf64) == {}
    reasons = skipped(OfBillboards)
    assert reasons["builds"] == "it refuses images of up to 224 pixels: It needs images of 4096 pixels"
    assert reasons["checkpoint"] == "'builds' did not pass"


def test_weights_that_cannot_be_had_are_skipped():
    assert skipped(Unreachable)["builds"] == "No connection"
