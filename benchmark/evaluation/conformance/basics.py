"""The two checks that the others need: a model, and a step."""

from __future__ import annotations

import torch

from benchmark.core.embedder import Embedder
from benchmark.evaluation.conformance.check import ContractError, check
from benchmark.evaluation.conformance.trial import Trial


@check(
    "build(make_member, labels) returns an Embedder, and it embeds a batch as one vector an image.",
    "Return make_member(), an Ensemble of members, or an Embedder of your own whose forward maps "
    "(n, C, H, W) to (n, d).",
)
def builds(trial: Trial) -> None:
    """The model exists and takes images."""
    model = trial.defense.build(trial.make_member, trial.labels)
    if not isinstance(model, Embedder):
        raise ContractError(f"build returns {type(model).__name__}, not an Embedder")
    embeddings = trial.embed(model)
    if embeddings.ndim != 2 or len(embeddings) != len(trial.images) or not embeddings.is_floating_point():
        raise ContractError(
            f"{len(trial.images)} images become {embeddings.dtype} of shape {tuple(embeddings.shape)}"
        )


@check(
    "loss(model, batch, attack) returns a finite scalar, and a step can be trained on it.",
    "Return one tensor of shape (), made from the model's embeddings: a mean or a sum, not detached.",
    trains=True,
)
def trains(trial: Trial) -> None:
    """One step."""
    model = trial.build()
    loss = trial.loss(model)
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
