"""The checks that all others depend on: a defense builds a model, and its loss can be trained on."""

from __future__ import annotations

import torch

from benchmark.core.embedder import Embedder
from benchmark.core.errors import BenchmarkError, TrainingError, UsageError
from benchmark.evaluation.conformance.contract_check import ContractError
from benchmark.evaluation.conformance.defense_contract import DEFENSE, check, exempt_from_training
from benchmark.evaluation.conformance.fixture import PHASES, ConformanceFixture
from benchmark.losses import wrong_loss
from benchmark.models import check_saveable, check_trainable
from defenses import DEFENSES, Defense


@check(
    "`needs` names other defenses.",
    "Write specs as on the command line: needs = ('vanilla',). A defense cannot need itself.",
    after=(),
)
def needs(fixture: ConformanceFixture) -> None:
    """Checks that each spec of `needs` builds a defense, and that none leads back to this one."""
    waiting: list[tuple[Defense, tuple[Defense, ...]]] = [(fixture.defense, ())]
    while waiting:
        defense, above = waiting.pop()
        if defense in above:
            raise ContractError(f"needs: {defense.name or type(defense).__name__} needs itself")
        if isinstance(defense.needs, str):
            raise ContractError(f"needs: {defense.needs!r} is a string")
        for text in defense.needs:
            try:
                waiting.append((DEFENSES.build(text), (*above, defense)))
            except UsageError as error:  # noqa: PERF203
                raise ContractError(f"needs: {str(error).rstrip('.')}") from None


@check(
    "build(make_member, labels) returns an Embedder that embeds each image of a batch as one vector.",
    "Return make_member(), an Ensemble of members, or an Embedder of your own whose forward maps "
    "(n, C, H, W) to a float tensor of shape (n, d).",
    after=("needs",),
)
def builds(fixture: ConformanceFixture) -> None:
    """Checks that `build` returns an Embedder that can be saved, and the form of its embeddings."""
    built = fixture.defense.build_from(fixture.make_member, fixture.labels, fixture.teachers())
    if not isinstance(built, Embedder):
        raise ContractError(f"build returns {type(built).__name__}, not an Embedder")
    try:
        check_saveable(built)
    except BenchmarkError as error:
        raise ContractError(str(error).rstrip(".")) from None
    embeddings = fixture.embed(built)
    if not isinstance(embeddings, torch.Tensor):
        raise ContractError(f"the model returns {type(embeddings).__name__}, not a tensor")
    if embeddings.layout != torch.strided:
        raise ContractError("the model returns a sparse tensor")
    if embeddings.ndim != 2 or len(embeddings) != len(fixture.images) or not embeddings.is_floating_point():
        shape = tuple(embeddings.shape)
        raise ContractError(
            f"{len(fixture.images)} images give {embeddings.dtype} embeddings of shape {shape}"
        )


@DEFENSE.check(
    "loss(model, batch, attack) returns a finite scalar with finite gradients, early and late in training.",
    "Return one tensor of shape (), made from the model's embeddings: a mean or a sum, not detached.",
    ("builds",),
    exempt_from_training,
)
def trains(fixture: ConformanceFixture) -> None:
    """Checks the loss of a training step and its gradients, at the start and near the end."""
    for progress in PHASES:
        try:
            _check_step(fixture, progress)
        except ContractError as error:  # noqa: PERF203
            when = f"at batch.progress {progress}, " if progress else ""
            raise ContractError(f"{when}{error}") from None


def _check_step(fixture: ConformanceFixture, progress: float) -> None:
    model = fixture.build()
    if any(True for _ in model.parameters()):
        try:
            check_trainable(model, fixture.defense.spec or type(fixture.defense).__name__)
        except TrainingError as error:
            raise ContractError(str(error).rstrip(".")) from None
    loss = fixture.loss(model, progress=progress)
    if reason := wrong_loss(loss):
        raise ContractError(reason)
    if not torch.isfinite(loss):
        raise ContractError(f"the loss is {float(loss.detach())}")
    loss.backward()
    for name, parameter in model.named_parameters():
        if parameter.grad is not None and not torch.isfinite(parameter.grad).all():
            raise ContractError(f"the gradient of {name} is not finite")
