"""Checks of one training step: the loss, its seeds, its gradients, and what it leaves unchanged."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from benchmark.core.errors import UsageError
from benchmark.core.seeding import seed_everything
from benchmark.evaluation.conformance.contract_check import ContractError
from benchmark.evaluation.conformance.defense_contract import check, color_images
from benchmark.evaluation.conformance.fixture import (
    PHASES,
    ConformanceFixture,
    OneStep,
    members_within,
)
from benchmark.evaluation.conformance.model_state import changed_parts, model_state
from benchmark.evaluation.conformance.settings import read_generators
from benchmark.models import Member

STEPS = 24


@check(
    f"{STEPS} training steps on one batch lower the loss.",
    "Check that the returned value is to be minimized (its sign), and that its gradient reaches the weights.",
    trains=True,
)
def loss_falls(fixture: ConformanceFixture) -> None:
    """Checks the sign of the loss."""
    values = fixture.fit(steps=STEPS)[1]
    first, last = float(np.mean(values[:6])), float(np.mean(values[-6:]))
    if not first - last > 0.005 * abs(first):
        raise ContractError(f"the loss goes from {first:.4g} to {last:.4g}")


@check(
    "The same seed gives the same model and loss; another seed gives another.",
    "Draw from torch's own generator, never from the clock or a generator of your own, and keep no state "
    "outside the model.",
    trains=True,
)
def same_seed(fixture: ConformanceFixture) -> None:
    """Checks that training is reproducible, and that it depends on the seed."""
    runs = []
    for seed in (5, 6, 5):
        model = fixture.build(seed, teachers=fixture.teachers(seed))
        loss = fixture.loss(model, seed)
        loss.backward()
        runs.append([loss.detach(), *(p.grad for p in model.parameters() if p.grad is not None)])
    if len(runs[0]) != len(runs[2]) or not all(map(torch.equal, runs[0], runs[2])):
        raise ContractError("two runs under one seed differ")
    if torch.equal(runs[0][0], runs[1][0]):
        raise ContractError("two seeds give the same loss")


@check(
    "Random generators are used, never seeded.",
    "Remove manual_seed, random.seed and np.random.seed; the benchmark seeds every job.",
    trains=True,
)
def leaves_seeds(fixture: ConformanceFixture) -> None:
    """Checks that `loss` and `build` set no seed, which would give every step the same draws."""
    states = []
    teachers = fixture.teachers()
    for seed in (1, 2):
        model = fixture.build(teachers=teachers)
        seed_everything("conformance-seeds", seed)
        for progress in PHASES:
            fixture.defense.loss(model, fixture.batch(progress, model), OneStep())
        after_loss = read_generators()
        seed_everything("conformance-seeds", seed)
        fixture.defense.build_from(fixture.make_member, fixture.labels, teachers)
        states.append((after_loss, read_generators()))
    for method, first, second in zip(("loss", "build"), states[0], states[1], strict=True):
        seeded = [name for name in first if first[name] == second[name]]
        if seeded:
            raise ContractError(f"{method} seeds the generator of {' and '.join(seeded)}")


@check(
    "Every weight that images pass through gets a gradient.",
    "Compute the loss from every member's embeddings, and set requires_grad to False on weights that are not "
    "trained.",
    trains=True,
)
def weight_gradients(fixture: ConformanceFixture) -> None:
    """Checks that every weight is trained in some phase, because the cost of its passes is counted."""
    model = fixture.build()
    for progress in PHASES:
        fixture.loss(model, progress=progress).backward()
    # A method with its own loss uses neither the member's loss nor its proxies.
    exempt = {
        id(parameter) for member in members_within(model) for parameter in member.criterion.parameters()
    }
    untrained = [
        name
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and parameter.grad is None and id(parameter) not in exempt
    ]
    if untrained:
        raise ContractError(f"{len(untrained)} parameters get no gradient, the first of them {untrained[0]}")
    for number, member in enumerate(members_within(model), start=1):
        gradients = [p.grad for p in member.parameters() if p.grad is not None]
        if gradients and not any(bool(gradient.any()) for gradient in gradients):
            raise ContractError(f"every gradient of member {number} is zero")


@check(
    "A step leaves the model in training mode, its weights, their gradients and requires_grad as they were.",
    "Remove model.eval(), requires_grad_, backward() and in-place changes from loss; attack(...) freezes the "
    "model by itself.",
    trains=True,
)
def leaves_model(fixture: ConformanceFixture) -> None:
    """Checks that the loss leaves the model to the optimizer and the training loop."""
    model = fixture.build()
    before = model_state(model, trained_only=True)
    for progress in PHASES:
        fixture.loss(model, progress=progress)
    for name in changed_parts(before, model_state(model, trained_only=True)):
        raise ContractError(f"loss changes {name}")


@check(
    "A step leaves the batch as it was.",
    "Clone a tensor before changing it in place: batch.images.clone().",
    trains=True,
)
def leaves_batch(fixture: ConformanceFixture) -> None:
    """Checks that the tensors of the batch, which belong to the training set, are not changed in place."""
    for progress in PHASES:
        model = fixture.build()
        batch = fixture.batch(progress, model)
        names = [name for name in ("images", "labels", "index", "strata") if getattr(batch, name) is not None]
        before = [getattr(batch, name).clone() for name in names]
        seed_everything("conformance-step")
        fixture.defense.loss(model, batch, OneStep())
        for name, old in zip(names, before, strict=True):
            if not torch.equal(old, getattr(batch, name)) or getattr(batch, name).requires_grad:
                raise ContractError(f"loss changes batch.{name}")


@check(
    "The training attack receives every module that its objective passes through.",
    "Pass to attack(objective, images, model) the model that the objective uses, or the whole model: the "
    "attack freezes what it receives.",
    trains=True,
)
def attack_model(fixture: ConformanceFixture) -> None:
    """Checks that no member is in training mode during the attack.

    Batch norm in training mode makes weaker examples, and its statistics would include the candidates.
    """
    model = fixture.build()
    attack = OneStep()
    unfrozen: list[Member] = []

    def watch(member: Any, inputs: Any) -> None:
        if attack.inside and member.training:
            unfrozen.append(member)

    for part in members_within(model):
        part.register_forward_pre_hook(watch)
    for progress in PHASES:
        fixture.loss(model, attack=attack, progress=progress)
    if unfrozen:
        raise ContractError(
            "the objective passes through a member that is in training mode during the attack"
        )


@check(
    "A defense that needs proxies declares it.",
    "Set needs_proxies = True on the class if it uses class_cosines.",
    trains=True,
)
def declares_proxies(fixture: ConformanceFixture) -> None:
    """Checks the declaration that keeps the defense from losses without proxies."""
    if fixture.defense.needs_proxies:
        return
    try:
        fixture.loss(fixture.build(loss="multi_similarity"))
    except UsageError as error:
        raise ContractError(f"with the loss multi_similarity: {str(error).rstrip('.')}") from None


@check(
    "A training step runs on color images of another size.",
    "Take the number of channels and the size from batch.images, never from a constant.",
    trains=True,
)
def other_shapes_train(fixture: ConformanceFixture) -> None:
    """Checks the loss on images with other channels and another size, as data sets differ in both."""
    with color_images(fixture) as other:
        other.loss(other.build())
