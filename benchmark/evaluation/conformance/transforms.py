"""The contract of transforms of images: images in, images out, with the draws and gradients it declares."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmark.core.seeding import seed_everything
from benchmark.evaluation.conformance.contract import Contract
from benchmark.evaluation.conformance.contract_check import SAME_ADVICE, ContractError
from defenses.transforms import Applied, Transform

SIDE = 28
"""Height and width of the images."""

SEEDS = 8
MANY = 24
"""Seeds and images with which the draws of a random transform are compared: what is rarer may be missed."""

ROUNDING = 1e-6
STEP = 1e-4
"""Of finite differences: larger than float32 rounds, smaller than what separates most levels of rounding."""

APART = 0.05
"""Fraction by which a slope may differ from the gradient."""


@dataclass(frozen=True)
class TransformFixture:
    """A transform, with images to apply it to.

    Attributes:
        transform: the transform under test.
    """

    transform: Transform

    def images(self, count: int = 6, channels: int = 3) -> Tensor:
        """Smooth shapes with noise, which every transform changes, shape (count, channels, SIDE, SIDE)."""
        generator = torch.Generator().manual_seed(channels)
        coarse = torch.rand(count, channels, 4, 4, generator=generator)
        smooth = F.interpolate(coarse, size=(SIDE, SIDE), mode="bilinear")
        return (smooth + 0.1 * torch.randn(smooth.shape, generator=generator)).clamp(0, 1)

    def part(self, channels: int = 3) -> Applied:
        """Builds the part of a model that applies the transform, shown training images, as it is attacked."""
        part: Any = self.transform.applied()
        if not isinstance(part, Applied):
            raise ContractError(f"applied() returns {type(part).__name__}, not an Applied")
        seed_everything("conformance-transform")
        part.learn(self.images(40, channels))
        return part.eval()

    def transformed(self, part: Applied, images: Tensor, seed: int = 0) -> Tensor:
        """Applies the transform to a copy of images under a seed."""
        seed_everything("conformance-transform", seed)
        return part(images.clone())

    def attacked(self, part: Applied, images: Tensor, seed: int = 0) -> Tensor:
        """Does the same as an attack does, with a stand-in's gradient where it has none."""
        seed_everything("conformance-transform", seed)
        copies = images.clone()
        return part(copies) if self.transform.differentiable else part.straight_through(copies)


TRANSFORM: Contract[Transform, TransformFixture] = Contract(
    Transform, lambda transform, folders: TransformFixture(transform)
)


@TRANSFORM.check(
    "Images in [0, 1], gray or in color, become images of the same shape and type, in [0, 1].",
    "Clip what is added, and return shape (n, C, H, W) for any C.",
)
def images(fixture: TransformFixture) -> None:
    """Checks what is returned, for images with black and white pixels too."""
    for channels in (1, 3):
        part = fixture.part(channels)
        for given in (fixture.images(channels=channels), fixture.images(channels=channels).round()):
            found: Any = fixture.transformed(part, given.clone())
            kind = (tuple(found.shape), found.dtype) if isinstance(found, Tensor) else type(found).__name__
            wanted = tuple(given.shape), given.dtype
            if kind != wanted:
                raise ContractError(f"images of {wanted} become {kind}")
            if not torch.isfinite(found).all():
                raise ContractError("a pixel is not finite")
            low, high = float(found.min()), float(found.max())
            if low < -ROUNDING or high > 1 + ROUNDING:
                raise ContractError(f"pixels lie between {low:.4g} and {high:.4g}")


@TRANSFORM.check(
    "The images that it is given stay as they were.", "Clone before a change in place.", after=("images",)
)
def leaves_images(fixture: TransformFixture) -> None:
    """Checks the batch after it was transformed."""
    given = fixture.images()
    fixture.part()(given)
    if not torch.equal(given, fixture.images()):
        raise ContractError("it changes the images in place")


@TRANSFORM.check("The same seed gives the same images.", SAME_ADVICE, after=("images",))
def same_seed(fixture: TransformFixture) -> None:
    """Checks that draws come from torch's generator."""
    part = fixture.part()
    first, second = (fixture.transformed(part, fixture.images()) for _ in range(2))
    if not torch.equal(first, second):
        raise ContractError("two calls under one seed give different images")


@TRANSFORM.check(
    "`randomised` is True exactly when other seeds give other images.",
    "Set randomised = True where anything is drawn, so that attacks average over draws; False elsewhere.",
    after=("same_seed",),
)
def randomised(fixture: TransformFixture) -> None:
    """Checks the declaration."""
    part = fixture.part()
    first, *others = (fixture.transformed(part, fixture.images(MANY), seed) for seed in range(SEEDS))
    differs = any(not torch.equal(first, other) for other in others)
    if differs != fixture.transform.randomised:
        found = "other" if differs else "the same"
        raise ContractError(f"{SEEDS} seeds give {found} images, but randomised is {not differs}")


@TRANSFORM.check(
    "A random transform draws for each image of a batch by itself.",
    "Draw one number for each image, as defenses.transforms.base.uniform does.",
    after=("randomised",),
    exempt=lambda transform: None if transform.randomised else "it is not random",
)
def own_draws(fixture: TransformFixture) -> None:
    """Checks that the copies of one image in a batch are not all transformed alike."""
    part, copies = fixture.part(), fixture.images(1).repeat(8, 1, 1, 1)
    batches = (fixture.transformed(part, copies, seed) for seed in range(SEEDS))
    if all(torch.equal(found, found[:1].expand_as(found)) for found in batches):
        raise ContractError("all images of a batch share their draws")


@TRANSFORM.check(
    "What becomes of an image does not depend on the others of its batch.",
    "Compute means, extremes and the like for each image, over dimensions 1 to 3.",
    after=("randomised",),
    exempt=lambda transform: "it is random" if transform.randomised else None,
)
def any_batch(fixture: TransformFixture) -> None:
    """Checks a deterministic transform in two batches."""
    part = fixture.part()
    given = fixture.images() * torch.linspace(0.4, 1, 6).view(-1, 1, 1, 1)  # each with its own extremes
    whole, some = fixture.transformed(part, given), fixture.transformed(part, given[2:4])
    apart = float((whole[2:4] - some).abs().max())
    if apart > 10 * ROUNDING:
        raise ContractError(f"in another batch a pixel differs by {apart:.2g}")


@TRANSFORM.check(
    "Attacks get a finite gradient for each image, and the values that the model gets.",
    "Set differentiable = False where apply() rounds, sorts or leaves torch; keep roots, powers and "
    "logarithms away from zero.",
    after=("same_seed",),
)
def gradient(fixture: TransformFixture) -> None:
    """Checks the gradient that attacks follow, of images with black and white pixels too."""
    part = fixture.part()
    for given in (fixture.images(), fixture.images().round()):
        inputs = given.clone().requires_grad_(True)
        found = fixture.attacked(part, inputs)
        apart = float((found - fixture.transformed(part, given)).detach().abs().max())
        if apart > 10 * ROUNDING:
            raise ContractError(f"with a gradient a pixel differs by {apart:.2g}")
        if not found.requires_grad:
            raise ContractError("no gradient reaches the images")
        (slopes,) = torch.autograd.grad(found.square().sum(), inputs)
        if not torch.isfinite(slopes).all():
            raise ContractError("the gradient is not finite")
        # Where all pixels are black or white, clipping may leave none.
        if given.frac().any() and not slopes.flatten(1).any(1).all():
            raise ContractError("the gradient of an image is zero")


@TRANSFORM.check(
    "The gradient is that of apply(), or `has_stand_in` is True.",
    "Set differentiable = False, or override has_stand_in where apply() holds a stand-in of its own.",
    after=("gradient",),
    exempt=lambda transform: "it has a stand-in" if transform.has_stand_in else None,
)
def slope(fixture: TransformFixture) -> None:
    """Compares the gradient with finite differences along its own signs."""
    part = fixture.part()
    given = 0.25 + 0.5 * fixture.images(2)  # away from where values are clipped
    target = torch.randn(given.shape, generator=torch.Generator().manual_seed(6)).double()
    inputs = given.clone().requires_grad_(True)
    (found,) = torch.autograd.grad((fixture.transformed(part, inputs).double() * target).sum(), inputs)
    above, below = (
        (fixture.transformed(part, given + way * STEP * found.sign()).double() * target).sum()
        for way in (1, -1)
    )
    expected, measured = float(found.abs().sum()), float(above - below) / (2 * STEP)
    if abs(measured - expected) > APART * expected:
        raise ContractError(f"its slope is {expected:.4g}, where finite differences find {measured:.4g}")


@TRANSFORM.check(
    "What it keeps of the training images is read from a checkpoint.",
    "Keep it in buffers of the module that applied() returns.",
    after=("same_seed",),
)
def checkpoint(fixture: TransformFixture) -> None:
    """Checks the round trip of the state."""
    first, second = fixture.part(), fixture.transform.applied().eval()
    second.load_state_dict(first.state_dict())
    if not torch.equal(*(fixture.transformed(part, fixture.images()) for part in (first, second))):
        raise ContractError("a saved transform gives other images after it is read")


@TRANSFORM.check_settings(after=("images",))
def use(fixture: TransformFixture) -> Callable[[], object]:
    """Prepares the call that is checked."""
    part, given = fixture.part(), fixture.images()
    return lambda: part(given)
