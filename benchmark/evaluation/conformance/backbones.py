"""The contract of backbones: unit vectors of the declared dimension, for gray and color images."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmark.core.errors import BenchmarkError, UsageError
from benchmark.core.seeding import seed_everything
from benchmark.evaluation.conformance.contract import Contract
from benchmark.evaluation.conformance.contract_check import ContractError, NotApplicableError
from benchmark.models import Backbone
from benchmark.models.backbone import BackboneEmbedder, wrong_backbone

SIZES = (16, 32, 64, 224)
"""Heights and widths that are tried, until one is accepted."""

IMAGES = 4

Shape = tuple[int, int, int]


@dataclass(frozen=True)
class BackboneFixture:
    """A backbone, with images to embed.

    Attributes:
        backbone: the backbone under test.
    """

    backbone: Backbone

    def accepted(self) -> Iterator[Shape]:
        """The smallest shape that is accepted, of gray and of color images.

        Raises:
            NotApplicableError: when all are refused.
        """
        refused = ""
        found = False
        for channels in (1, 3):
            for size in SIZES:
                try:
                    self.backbone.check((channels, size, size))
                    self.random((channels, size, size))
                except UsageError as error:
                    refused = str(error).rstrip(".")
                    continue
                found = True
                yield channels, size, size
                break
        if not found:
            raise NotApplicableError(f"it refuses images of up to {SIZES[-1]} pixels: {refused}")

    def images(self, shape: Shape) -> Tensor:
        """Images in [0, 1], shape (n, C, H, W)."""
        return torch.rand(IMAGES, *shape, generator=torch.Generator().manual_seed(0))

    def random(self, shape: Shape, seed: int = 0) -> BackboneEmbedder:
        """Builds the embedder with random weights, under a seed, in evaluation mode."""
        seed_everything("conformance-backbone", seed)
        return self.backbone.build_random(shape).eval()

    def settled(self, shape: Shape, seed: int = 0) -> BackboneEmbedder:
        """Builds the embedder, and lets batch norm's running statistics settle."""
        model = self.random(shape, seed).train()
        with torch.no_grad():
            for _ in range(5):
                model(self.images(shape))
        return model.eval()


BACKBONE: Contract[Backbone, BackboneFixture] = Contract(
    Backbone, lambda backbone, folders: BackboneFixture(backbone)
)


@BACKBONE.check(
    "build(image_shape) returns a BackboneEmbedder that gives `dim` numbers for each image, gray or color.",
    "Return BackboneEmbedder(network) with a network that maps (n, C, H, W) to (n, dim); raise UsageError "
    "for shapes that it does not accept.",
)
def builds(fixture: BackboneFixture) -> None:
    """Checks type, shape and dtype; weights that cannot be had here are not looked for."""
    for shape in fixture.accepted():
        try:
            model = fixture.backbone.build(shape)
        except UsageError:
            raise
        except BenchmarkError as error:  # weights that are not on this machine
            raise NotApplicableError(str(error).rstrip(".")) from error
        for built in (model, fixture.random(shape)):
            if reason := wrong_backbone(built, fixture.images(shape), fixture.backbone.dim):
                raise ContractError(reason)


@BACKBONE.check(
    "Embeddings are unit vectors.",
    "Leave the last step to BackboneEmbedder, which scales the network's output to unit length.",
    after=("builds",),
)
def unit_length(fixture: BackboneFixture) -> None:
    """Checks the length of embeddings."""
    for shape in fixture.accepted():
        with torch.no_grad():
            lengths = fixture.settled(shape)(fixture.images(shape)).float().norm(dim=1)
        if not torch.allclose(lengths, torch.ones_like(lengths), atol=1e-4):
            raise ContractError(f"an embedding has the length {float(lengths.max()):.3g}")


@BACKBONE.check(
    "In evaluation mode an image has the same embedding each time, in any batch.",
    "Switch dropout and batch statistics by self.training, as torch's own modules do.",
    after=("builds",),
)
def any_batch(fixture: BackboneFixture) -> None:
    """Checks that embeddings depend on the image alone."""
    for shape in fixture.accepted():
        model, images = fixture.settled(shape), fixture.images(shape)
        with torch.no_grad():
            whole, again, part = model(images), model(images), model(images[1:3])
        if not torch.equal(whole, again):
            raise ContractError("two forward passes differ in evaluation mode")
        apart = float((part - whole[1:3]).abs().max())
        if apart > 1e-4:
            raise ContractError(f"in another batch an embedding differs by {apart:.2g}")


@BACKBONE.check(
    "A finite gradient reaches the input and every weight that is trained.",
    "Use no detach(), no_grad() or rounding in the network, and set requires_grad to False on weights that "
    "are not trained.",
    after=("builds",),
)
def gradients(fixture: BackboneFixture) -> None:
    """Checks the gradients that attacks and training use."""
    for shape in fixture.accepted():
        model = fixture.settled(shape).train()
        images = fixture.images(shape).requires_grad_(True)
        embeddings = model(images)
        target = torch.randn(embeddings.shape, generator=torch.Generator().manual_seed(0))
        (embeddings * target).sum().backward()
        named = {"the input": images} | {n: p for n, p in model.named_parameters() if p.requires_grad}
        for name, tensor in named.items():
            if tensor.grad is None:
                raise ContractError(f"no gradient reaches {name}")
            if not torch.isfinite(tensor.grad).all():
                raise ContractError(f"the gradient of {name} is not finite")
        if images.grad is None or not images.grad.any():
            raise ContractError("the gradient of the input is zero")


@BACKBONE.check(
    "A model read from a checkpoint gives the same embeddings.",
    "Keep everything that embeddings depend on in parameters or buffers, and build the same modules in "
    "build_random as in build.",
    after=("builds",),
)
def checkpoint(fixture: BackboneFixture) -> None:
    """Checks that the state of a model loads into one that `build_random` builds."""
    for shape in fixture.accepted():
        first, second = fixture.settled(shape, 1), fixture.random(shape, 2)
        second.load_state_dict(first.state_dict())
        with torch.no_grad():
            if not torch.equal(first(fixture.images(shape)), second(fixture.images(shape))):
                raise ContractError("a saved model gives other embeddings after it is read")


@BACKBONE.check_settings(after=("builds",))
def use(fixture: BackboneFixture) -> Callable[[], object]:
    """Prepares the call that is checked."""
    shape = next(fixture.accepted())
    return lambda: fixture.backbone.build_random(shape).eval()(fixture.images(shape))
