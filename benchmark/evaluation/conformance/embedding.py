"""Checks of what a defense builds: the model that is attacked and scored."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_model, save_model

from benchmark.evaluation.conformance.contract_check import ContractError, check, explain_error
from benchmark.evaluation.conformance.fixture import COLOUR, ConformanceFixture
from benchmark.models import Member


@check(
    "Embeddings are unit vectors.",
    "End the model's forward with torch.nn.functional.normalize(embeddings); an Ensemble has unit length of "
    "itself.",
)
def unit_length(fixture: ConformanceFixture) -> None:
    """Cosine similarity is a product of embeddings everywhere in the benchmark."""
    lengths = fixture.embed(fixture.build()).norm(dim=1)
    if not torch.allclose(lengths, torch.ones_like(lengths), atol=1e-4):
        raise ContractError(
            f"embeddings have lengths from {float(lengths.min()):.3g} to {float(lengths.max()):.3g}"
        )


@check(
    "A finite gradient reaches the input through differentiable().",
    "Override differentiable() to return a stand-in that gradients pass through (BPDA), and keep detach(), "
    "no_grad() and rounding out of it.",
)
def input_gradient(fixture: ConformanceFixture) -> None:
    """Attacks need it; a model that hides its gradient is masked, not robust."""
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
    # Not for every single one: a network as narrow as this may be dead at an image.
    reached = float((gradient.flatten(1).abs().amax(1) > 0).double().mean())
    if reached < 0.8:
        raise ContractError(f"the gradient is zero for {1 - reached:.0%} of the images")


@check(
    "A model is randomised exactly when it says so.",
    "Set randomised = True on the model if two passes over one batch may differ, else leave it False.",
)
def randomness(fixture: ConformanceFixture) -> None:
    """Gradients and scores of a randomised model are averaged over passes."""
    model = fixture.build().eval()
    with torch.no_grad():
        differ = not torch.equal(model(fixture.images), model(fixture.images))
    if differ and not model.randomised:
        raise ContractError("two passes differ, but randomised is False")
    if model.randomised and not differ:
        raise ContractError("randomised is True, but two passes are the same")


@check(
    "An image is embedded alike in any batch.",
    "Use nothing of the other images of a batch in evaluation mode; batch norm uses its running "
    "statistics there.",
)
def any_batch(fixture: ConformanceFixture) -> None:
    """Else a figure would depend on the order of the test images."""
    model = fixture.build()
    model.eval()
    with torch.no_grad():
        if not torch.equal(model(fixture.images[:10]), model(fixture.images[:10])):  # draws for each batch
            return
    whole = fixture.embed(model, fixture.images[:10])
    apart = float((fixture.embed(model, fixture.images[3:5]) - whole[3:5]).abs().max())
    if apart > 1e-4:
        raise ContractError(f"in another batch an embedding differs by {apart:.2g}")


@check(
    "Images pass through the members that the model names, and they come from make_member().",
    "Build every backbone with make_member(), and name in `members` those that images pass through.",
)
def members(fixture: ConformanceFixture) -> None:
    """Passes, and so costs, are counted at members."""
    model = fixture.build()
    if fixture.defense.reference:
        return
    passed: list[Member] = []
    for part in model.modules():
        if isinstance(part, Member):
            part.register_forward_hook(lambda module, inputs, output: passed.append(module))
    fixture.embed(model, fixture.images[:5])
    if not passed:
        raise ContractError("no image passes through a member")
    within = [set(named.modules()) for named in model.members]
    if not all(any(member in parts for parts in within) for member in passed):
        raise ContractError("images pass through a member that `members` leaves out")
    if not all(any(member in parts for member in passed) for parts in within):
        raise ContractError("`members` names a model that no image passes through")


@check(
    "A checkpoint gives the same embeddings.",
    "Keep everything that embeddings depend on in parameters or buffers (self.register_buffer), each tensor "
    "once.",
)
def checkpoint(fixture: ConformanceFixture) -> None:
    """Models are saved as safetensors and read again in another process."""
    first, second = fixture.build(1), fixture.build(2)
    with torch.no_grad():
        first(fixture.images)  # moves batch norm's statistics
    with tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder) / "model.safetensors")
        save_model(first, file)
        load_model(second, file)
    if not torch.equal(fixture.embed(first), fixture.embed(second)):
        raise ContractError("the embeddings of a saved model are not the same after reading it")


@check(
    "Colour images of another size are embedded too.",
    "Take the number of channels and the size from the images, never from a constant.",
)
def other_shapes(fixture: ConformanceFixture) -> None:
    """Data sets differ in both."""
    other = ConformanceFixture(fixture.defense, COLOUR)
    try:
        embeddings = other.embed(other.build())
    except Exception as error:
        raise ContractError(f"with images of shape {COLOUR}, {explain_error(error)}") from error
    if len(embeddings) != len(other.images):
        raise ContractError(
            f"{len(other.images)} images of shape {COLOUR} become {len(embeddings)} embeddings"
        )
