"""Each check of the contract of transforms fails for a transform that breaks it."""

from typing import ClassVar

import pytest
import torch

from benchmark.evaluation.conformance.transforms import TRANSFORM
from defenses.transforms import TRANSFORMS, Applied, Transform
from defenses.transforms.base import uniform, with_identity_gradient

from .results import failures


class Darker(Transform):
    """A sound transform."""

    name = "darker"
    part: float = 0.9

    def apply(self, images):
        return self.part * images


class Dimmed(Transform):
    """A sound random transform."""

    name = "dimmed"
    randomised: ClassVar = True

    def apply(self, images):
        return images * uniform(images, 0.5, 1)


class Contrast(Dimmed):
    """Clips what black and white pixels become, whose gradient is zero then."""

    def apply(self, images):
        return (0.5 + uniform(images, 1.2, 1.5) * (images - 0.5)).clamp(0, 1)


class Crop(Dimmed):
    """Needs images of some size."""

    def apply(self, images):
        row, column = torch.randint(0, 8, (2, len(images)))
        corners = [image[:, r : r + 20, c : c + 20] for image, r, c in zip(images, row, column, strict=True)]
        return torch.nn.functional.pad(torch.stack(corners), (4, 4, 4, 4))


class WhileTraining(Darker):
    """Draws while it is trained, which is not when it is attacked."""

    def applied(self):
        return WhileTrainingPart(self)


class WhileTrainingPart(Applied):
    def forward(self, images):
        return images * uniform(images, 0.5, 1) if self.training else images * 0.9


class OtherSpec(Darker):
    @property
    def spec(self):
        return "darker[part=0.5]"


class NoPart(Darker):
    def applied(self):
        return torch.nn.Identity()


class Brighter(Darker):
    def apply(self, images):
        return images + 0.1


class OnlyColor(Darker):
    def apply(self, images):
        return images.expand(-1, 3, -1, -1)


class Double(Darker):
    def apply(self, images):
        return images.double()


class NotFinite(Darker):
    def apply(self, images):
        return images / images.amax((1, 2, 3), keepdim=True).floor()


class InPlace(Darker):
    def apply(self, images):
        return images.mul_(0.9)


class OfTheClock(Dimmed):
    def apply(self, images):
        generator = torch.Generator()
        generator.seed()
        return images * (0.5 + 0.5 * torch.rand(len(images), 1, 1, 1, generator=generator))


class NotDeclared(Dimmed):
    randomised: ClassVar = False


class NotRandom(Darker):
    randomised: ClassVar = True


class OneDraw(Dimmed):
    def apply(self, images):
        return images * torch.rand(())


class Relative(Darker):
    def apply(self, images):
        return images / (1 + images.amax())


class Rounded(Darker):
    def apply(self, images):
        return (8 * images).round() / 8


class WithoutGraph(Darker):
    def apply(self, images):
        return 0.9 * images.detach()


class Root(Darker):
    def apply(self, images):
        return images.sqrt()


class OtherValues(Darker):
    differentiable: ClassVar = False

    def straight_through(self, images):
        return images

    def applied(self):
        return OtherValuesPart(self)


class OtherValuesPart(Applied):
    def straight_through(self, images):
        return images


class HiddenStandIn(Darker):
    def apply(self, images):
        return with_identity_gradient(lambda given: (8 * given).round() / 8, images)


class Keeping(Darker):
    def applied(self):
        return KeepingPart(self)


class KeepingPart(Applied):
    """Keeps the training images' mean where no checkpoint has it."""

    mean = 0.0

    def learn(self, images):
        self.mean = images.mean()

    def forward(self, images):
        return 0.5 * (images + self.mean)


class Seeding(Darker):
    def apply(self, images):
        torch.manual_seed(0)
        return 0.9 * images


BROKEN = [
    (OtherSpec, "spec", "gives another darker"),
    (NoPart, "images", "returns Identity, not an Applied"),
    (Brighter, "images", "pixels lie between 0.1 and 1.1"),
    (OnlyColor, "images", "become ((6, 3, 28, 28)"),
    (Double, "images", "float64"),
    (NotFinite, "images", "not finite"),
    (InPlace, "leaves_images", "in place"),
    (OfTheClock, "same_seed", "different images"),
    (NotDeclared, "randomised", "other images, but randomised is False"),
    (NotRandom, "randomised", "the same images, but randomised is True"),
    (OneDraw, "own_draws", "share their draws"),
    (Relative, "any_batch", "in another batch"),
    (Rounded, "gradient", "the gradient of an image is zero"),
    (WithoutGraph, "gradient", "no gradient reaches"),
    (Root, "gradient", "not finite"),
    (OtherValues, "gradient", "with a gradient a pixel differs"),
    (HiddenStandIn, "slope", "finite differences find"),
    (Keeping, "checkpoint", "after it is read"),
    (Seeding, "leaves_settings", "torch"),
]


@pytest.mark.parametrize(("transform", "check", "message"), BROKEN)
def test_a_broken_transform_fails_exactly_its_check(transform, check, message):
    found = failures(transform)
    assert set(found) == {check}, found
    assert message in found[check]


def test_every_check_of_transforms_has_a_class_that_fails_it():
    assert {check for _, check, _ in BROKEN} == set(TRANSFORM.checks)


@pytest.mark.parametrize(
    "transform", [Darker, Dimmed, Contrast, Crop, WhileTraining, *map(TRANSFORMS.build, TRANSFORMS.names())]
)
def test_sound_transforms_fail_no_check(transform):
    assert failures(transform) == {}
