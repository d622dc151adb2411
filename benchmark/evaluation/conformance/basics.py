"""The two checks that all others depend on: a defense builds a model, and its loss can be trained on."""

from __future__ import annotations

import torch

from benchmark.core.embedder import Embedder
from benchmark.evaluation.conformance.contract_check import ContractError
from benchmark.evaluation.conformance.defense_contract import DEFENSE, check, exempt_from_training
from benchmark.evaluation.conformance.fixture import ConformanceFixture


@check(
    "build(make_member, labels) returns an Embedder that embeds each image of a batch as one vector.",
    "Return make_member(), an Ensemble of members, or an Embedder of your own whose forward maps "
    "(n, C, H, W) to (n, d).",
    after=(),
)
def builds(fixture: ConformanceFixture) -> None:
    """Checks that `build` returns an Embedder, and the shape and dtype of its embeddings."""
    model = fixture.defense.build(fixture.make_member, fixture.labels)
    if not isinstance(model, Embedder):
        raise ContractError(f"build returns {type(model).__name__}, not an Embedder")
    embeddings = fixture.embed(model)
    if embeddings.ndim != 2 or len(embeddings) != len(fixture.images) or not embeddings.is_floating_point():
        shape = tuple(embeddings.shape)
        raise ContractError(
            f"{len(fixture.images)} images give {embeddings.dtype} embeddings of shape {shape}"
        )


@DEFENSE.check(
    "loss(model, batch, attack) returns a finite scalar with finite gradients.",
    "Return one tensor of shape (), made from the model's embeddings: a mean or a sum, not detached.",
    ("builds",),
    exempt_from_training,
)
def trains(fixture: ConformanceFixture) -> None:
    """Checks the loss of one training step and its gradients."""
    model = fixture.build()
    loss = fixture.loss(model)
    if not isinstance(loss, torch.Tensor) or loss.shape != ():
        shape = f"shape {tuple(loss.shape)}" if isinstance(loss, torch.Tensor) else f"a {type(loss).__name__}"
        raise ContractError(f"the loss is {shape}, not a scalar tensor")
    if not torch.isfinite(loss):
        raise ContractError(f"the loss is {float(loss.detach())}")
    if not loss.requires_grad:
        raise ContractError("the loss carries no gradient")
    loss.backward()
    for name, parameter in model.named_parameters():
        if parameter.grad is not None and not torch.isfinite(parameter.grad).all():
            raise ContractError(f"the gradient of {name} is not finite")
