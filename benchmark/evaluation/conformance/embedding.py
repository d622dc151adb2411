"""Checks of the model that a defense builds, which is attacked and scored."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch

from benchmark.evaluation.conformance.contract_check import ContractError
from benchmark.evaluation.conformance.defense_contract import check, color_images
from benchmark.evaluation.conformance.fixture import (
    COLOR,
    ConformanceFixture,
    members_within,
    precision,
)
from benchmark.models import Member, load_checkpoint, save_checkpoint


@check(
    "Embeddings are unit vectors.",
    "End the model's forward with torch.nn.functional.normalize(embeddings); an Ensemble already "
    "returns unit vectors.",
)
def unit_length(fixture: ConformanceFixture) -> None:
    """Checks the length of embeddings, whose dot product the benchmark uses as cosine similarity."""
    embeddings = fixture.embed(fixture.build())
    lengths = embeddings.float().norm(dim=1)
    if not torch.allclose(lengths, torch.ones_like(lengths), atol=precision(embeddings)):
        raise ContractError(
            f"embeddings have lengths from {float(lengths.min()):.3g} to {float(lengths.max()):.3g}"
        )


@check(
    "A finite gradient reaches the input through differentiable().",
    "Override differentiable() to return a stand-in that gradients pass through (BPDA), without detach(), "
    "no_grad() or rounding.",
)
def input_gradient(fixture: ConformanceFixture) -> None:
    """Checks the gradient that attacks use; without it a model would be masked, not robust."""
    model = fixture.build()
    with torch.no_grad():
        for _ in range(10):  # batch norm's running statistics settle
            model(fixture.images)
    stand_in = model.eval().differentiable().eval()
    inputs = fixture.images.requires_grad_(True)
    embeddings = stand_in(inputs)
    if embeddings.shape != fixture.embed(model).shape:
        raise ContractError("differentiable() returns embeddings of another shape than the model's")
    if not embeddings.requires_grad:
        raise ContractError("the embeddings carry no gradient")
    target = torch.randn(embeddings.shape, generator=torch.Generator().manual_seed(0))
    (gradient,) = torch.autograd.grad((embeddings * target).sum(), inputs, allow_unused=True)
    if gradient is None:
        raise ContractError("the embeddings do not depend on the input's gradient")
    if not torch.isfinite(gradient).all():
        raise ContractError("the gradient is not finite")
    # Not required of every image: a network as narrow as this may be dead at some.
    reached = float((gradient.flatten(1).abs().amax(1) > 0).double().mean())
    if reached < 0.8:
        raise ContractError(f"the gradient is zero for {1 - reached:.0%} of the images")


@check(
    "A model declares itself randomised exactly when it is.",
    "Set randomised = True on the model if two forward passes over one batch may differ, else leave it "
    "False.",
)
def randomness(fixture: ConformanceFixture) -> None:
    """Checks the declaration that decides on EOT samples and on repeats of the scores."""
    model = fixture.build().eval()
    with torch.no_grad():
        differ = not torch.equal(model(fixture.images), model(fixture.images))
    if differ and not model.randomised:
        raise ContractError("two forward passes differ, but randomised is False")
    if model.randomised and not differ:
        raise ContractError("randomised is True, but two forward passes are the same")


@check(
    "An image has the same embedding in any batch.",
    "Use nothing of the other images of a batch in evaluation mode; batch norm uses its running "
    "statistics there.",
)
def any_batch(fixture: ConformanceFixture) -> None:
    """Checks that embeddings, and so scores, do not depend on the order of the test images."""
    model = fixture.build().eval()
    batch = fixture.images[:10]
    with torch.no_grad():
        if not torch.equal(model(batch), model(batch)):  # randomised: the draws differ between calls
            return
    whole = fixture.embed(model, batch)
    apart = float((fixture.embed(model, fixture.images[3:5]) - whole[3:5]).abs().max())
    if not apart <= precision(whole):
        raise ContractError(f"in another batch an embedding differs by {apart:.2g}")


@check(
    "Images pass through exactly the members that the model names, which make_member() made.",
    "Build every backbone with make_member(), and name in `members` those that images pass through.",
)
def members(fixture: ConformanceFixture) -> None:
    """Checks that costs are complete, because forward and backward passes are counted at members."""
    model = fixture.build()
    if not fixture.defense.trained:
        return
    passed: list[Member] = []
    for member in members_within(model):
        member.register_forward_hook(lambda module, inputs, output: passed.append(module))
    fixture.embed(model, fixture.images[:5])
    if not passed:
        raise ContractError("no image passes through a member")
    within = [set(named.modules()) for named in model.members]
    if not all(any(member in parts for parts in within) for member in passed):
        raise ContractError("images pass through a member that `members` leaves out")
    if not all(any(member in parts for member in passed) for parts in within):
        raise ContractError("`members` names a model that no image passes through")


@check(
    "A model read from a checkpoint gives the same embeddings.",
    "Keep everything that embeddings depend on in parameters or buffers (self.register_buffer).",
)
def checkpoint(fixture: ConformanceFixture) -> None:
    """Checks a round trip through safetensors, as between the processes of training and attacks."""
    # Where a checkpoint is loaded, the models that the defense needs hold other weights.
    first, second = (fixture.build(seed, teachers=fixture.teachers(seed)) for seed in (1, 2))
    with torch.no_grad():
        first(fixture.images)  # changes batch norm's statistics
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.safetensors"
        save_checkpoint(first, file)
        load_checkpoint(second, file)
    if not torch.equal(fixture.embed(first), fixture.embed(second)):
        raise ContractError("a saved model gives other embeddings after it is read")


@check(
    "Color images of another size are embedded too.",
    "Take the number of channels and the size from the images, never from a constant.",
)
def other_shapes(fixture: ConformanceFixture) -> None:
    """Checks the model on images with other channels and another size, as data sets differ in both."""
    with color_images(fixture) as other:
        embeddings = other.embed(other.build())
    if len(embeddings) != len(other.images):
        raise ContractError(f"{len(other.images)} images of shape {COLOR} give {len(embeddings)} embeddings")
