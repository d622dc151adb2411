"""Checks of what a training carries from step to step: the model's state, and the models that it needs."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch

from benchmark.core.errors import BenchmarkError
from benchmark.evaluation.conformance.contract_check import ContractError
from benchmark.evaluation.conformance.defense_contract import DEFENSE, check, exempt_from_training
from benchmark.evaluation.conformance.fixture import PHASES, ConformanceFixture
from benchmark.evaluation.conformance.model_state import changed_parts, model_state
from benchmark.models import (
    CHECKED_IMAGES,
    check_embedder,
    in_float32,
    load_checkpoint,
    resizable,
    save_checkpoint,
)
from defenses import Defense


@check(
    "Parameters and buffers have their final names and shapes when build returns.",
    "Size every buffer in build: len(labels) images, int(labels.max()) + 1 classes, member.dim numbers an "
    "embedding. A checkpoint loads into a model that no step has changed.",
    trains=True,
)
def keeps_shapes(fixture: ConformanceFixture) -> None:
    """Checks that no training step adds, removes or resizes what is saved and loads in one shape only."""
    built = {name: tuple(value.shape) for name, value in fixture.build().state_dict().items()}
    model = fixture.build()
    for progress in PHASES:
        fixture.loss(model, progress=progress).backward()
    trained = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    for name in {**built, **trained}:
        before, after = built.get(name), trained.get(name)
        if before is None or after is None:
            raise ContractError(f"a training step {'adds' if before is None else 'removes'} {name}")
        if before != after and name not in resizable(model):
            raise ContractError(f"a training step turns {name} from shape {before} to {after}")


@check(
    "An interrupted training resumes as if it had not been interrupted.",
    "Keep state in the model, as a parameter or a buffer, which are saved.",
    trains=True,
    after=("builds", "keeps_shapes"),
)
def resumes(fixture: ConformanceFixture) -> None:
    """Checks that the saved state is complete: weights, optimizer and random generators."""
    model, _ = fixture.fit(steps=2)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    expected = fixture.loss(model, seed=2).detach()
    resumed = fixture.build(seed=1)
    resumed.load_state_dict(state)
    if not torch.equal(fixture.loss(resumed, seed=2).detach(), expected):
        raise ContractError("the third step of a model gives another loss after it was saved and loaded")


@check(
    "A trained model gives the same embeddings after it was saved and loaded.",
    "Keep all state that embeddings depend on in parameters or buffers (self.register_buffer), and change "
    "buffers in place: self.center.copy_(...).",
    trains=True,
    after=("builds", "randomness", "keeps_shapes", "checkpoint"),
)
def keeps_state(fixture: ConformanceFixture) -> None:
    """Checks that nothing that training steps have changed is lost with the process that trained."""
    trained, _ = fixture.fit(steps=2)
    for progress in PHASES:
        fixture.loss(trained, progress=progress)
    # Where a checkpoint is loaded, the models that the defense needs hold other weights.
    loaded = fixture.build(seed=1, teachers=fixture.teachers(1))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.safetensors"
        save_checkpoint(trained, file)
        load_checkpoint(loaded, file)
    if not torch.equal(fixture.embed(trained), fixture.embed(loaded)):
        raise ContractError("a model that was trained, saved and loaded embeds otherwise than before")


@check(
    "After training steps the model still keeps what scores rely on.",
    "Keep it for any weights: scale embeddings to unit length as the last step, after every learned part.",
    trains=True,
    after=("builds", "unit_length", "randomness", "any_batch"),
)
def keeps_promises(fixture: ConformanceFixture) -> None:
    """Checks a model that was trained for a few steps as a run checks each model that it loads."""
    model, _ = fixture.fit(steps=3)
    images = fixture.images[:CHECKED_IMAGES]
    try:
        check_embedder(in_float32(model.eval(), images), images)
    except BenchmarkError as error:
        raise ContractError(str(error).rstrip(".")) from error


def _exempt_without_needs(defense: Defense) -> str | None:
    return exempt_from_training(defense) or (None if defense.needs else "it needs no other model")


@DEFENSE.check(
    "The models that a defense needs stay as they were.",
    "Leave the models in `trained` frozen and in evaluation mode; to train one further, take a copy: "
    "copy.deepcopy(trained['vanilla']).requires_grad_(True).",
    ("builds", "trains"),
    _exempt_without_needs,
)
def leaves_teachers(fixture: ConformanceFixture) -> None:
    """Checks that neither `build` nor training steps change the models of other rows."""
    teachers = fixture.teachers()
    before = {text: model_state(teacher) for text, teacher in teachers.items()}
    model = fixture.build(teachers=teachers)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for progress in PHASES:
        fixture.loss(model, progress=progress).backward()
        optimizer.step()
    for text, teacher in teachers.items():
        changed = changed_parts(before[text], model_state(teacher))
        if changed:
            raise ContractError(f"it changes {', '.join(changed)} of trained['{text}']")
