"""Plans the training of a model: its epochs, its attack budget, its identity."""

from __future__ import annotations

import math
from collections.abc import Iterable

from attacks import ATTACKS
from benchmark.core.errors import BenchmarkError, UsageError
from benchmark.core.parameters import Parameters
from benchmark.core.protocol import PROTOCOL_VERSION
from benchmark.data import DATASETS, Folders
from benchmark.jobs import TrainingRun, TrainJob
from benchmark.jobs.costs import costs_of, probe
from benchmark.jobs.models import portable
from benchmark.losses import LOSSES
from benchmark.models import BACKBONES
from benchmark.planning.budgets import training_eps
from benchmark.planning.config import Configuration
from benchmark.planning.identity import digest, plugin_files, recorded_parts, source_digest
from benchmark.planning.own_models import Looks
from benchmark.records import ModelKey
from benchmark.training import Recipe
from benchmark.training.validation import ATTACK as VALIDATION_ATTACK
from defenses import DEFENSES, Defense, GivenModel

_SAME_EPOCHS = 0.01
"""Relative difference up to which a budget comes to the number of equal epochs, and so to the same model."""


def plan_training(
    key: ModelKey,
    config: Configuration,
    folders: Folders,
    budget: float | None = None,
    notes: list[str] | None = None,
    looks: Looks | None = None,
) -> TrainJob:
    """Plans the training of a model; for equal passes, runs a few training steps to measure their cost.

    Args:
        key: the model.
        config: the configuration, with the recipes.
        folders: where data sets are.
        budget: cost units for each training image and epoch of the recipe, which the training is to spend
            together with those of the models that the defense needs; without it the recipe's epochs are
            trained. The defense's `epochs_scale` multiplies either.
        notes: a line is added when the cost of a step cannot be measured; the recipe's epochs are then used.
        looks: at own models; new ones when not given.

    Raises:
        UsageError: when the data set has no headline budget to train with and none is given; for what the
            defense declares and cannot be; when the models that it needs cost the whole budget.
    """
    dataset = DATASETS.build(key.dataset)
    defense = DEFENSES.build(key.defense)
    check_declarations(defense)
    if not defense.trained:
        own = isinstance(defense, GivenModel)
        weights = (looks or Looks(folders)).at(key).weights if own else defense.fingerprint()
        return _plan_untrained(key, dataset.identity(folders), weights)
    needed = {text: key.model_copy(update={"defense": DEFENSES.build(text).spec}) for text in defense.needs}
    teachers = {text: plan_training(one, config, folders, looks=looks) for text, one in needed.items()}
    backbone = BACKBONES.build(key.backbone)
    recipe = config.recipe(key.dataset)
    validation = ATTACKS.build(VALIDATION_ATTACK).parts() if recipe.validation else []
    eps = training_eps(dataset, config) if recipe.eps is None else recipe.eps
    epochs, to_spend = max(1, round(recipe.epochs * defense.epochs_scale)), None
    if budget is not None:
        to_spend = budget * recipe.epochs * defense.epochs_scale
        left = to_spend - _teacher_units(teachers.values(), folders)
        if left <= 0:
            raise UsageError(
                f"{defense.spec}: training {', '.join(defense.needs)}, which it needs, takes "
                f"{(to_spend - left) / to_spend * budget:.3g} cost units of the budget of {budget:g}; "
                "raise --budget."
            )
        step = _step_cost(key, recipe, folders, notes)
        planned = left / step if step else epochs
        if math.isclose(planned, epochs, rel_tol=_SAME_EPOCHS):
            to_spend = None
        else:
            epochs = max(1, round(planned))
    named: list[Parameters] = [dataset, backbone, LOSSES.build(key.loss), *defense.parts(), *validation]
    code: list[type] = [*map(type, named), TrainingRun]
    modules = [name for one in named for name in one.modules()]
    identity = {
        "model": portable(key).model_dump(),
        "recipe": recipe.model_dump(),
        "epochs": epochs,
        "budget": to_spend,
        "eps": eps,
        "teachers": {text: teacher.id for text, teacher in teachers.items()},
        "data": dataset.identity(folders),
        "weights": backbone.fingerprint(dataset.natural),
        "source": source_digest(code, modules),
        "protocol": PROTOCOL_VERSION,
    }
    return TrainJob(
        id=digest(identity),
        key=key,
        recipe=recipe,
        epochs=epochs,
        eps=eps,
        budget=to_spend,
        teachers=teachers,
        plugin_files=plugin_files(code, modules),
        identity=recorded_parts(identity, code, modules),
    )


def check_declarations(defense: Defense) -> None:
    """Checks what a defense declares about its training.

    Raises:
        UsageError: when `keep_from` is not in [0, 1), or `needs` names what is unknown, or leads back to the
            defense itself, or stands at a defense that is not trained.
    """
    if not (isinstance(defense.keep_from, int | float) and 0 <= defense.keep_from < 1):
        raise UsageError(
            f"{defense.spec}: keep_from is {defense.keep_from!r}; give a fraction of the training in [0, 1)."
        )
    if defense.needs and not defense.trained:
        raise UsageError(f"{defense.spec} is not trained, so it cannot need {', '.join(defense.needs)}.")
    _check_needs(defense, [defense.spec])


def _check_needs(defense: Defense, path: list[str]) -> None:
    """Follows what a defense needs; `path` leads from the first defense to this one."""
    if isinstance(defense.needs, str):
        raise UsageError(f"{defense.spec}: needs is a string; write needs = ({defense.needs!r},).")
    for text in defense.needs:
        try:
            needed = DEFENSES.build(text)
        except UsageError as error:
            raise UsageError(f"{defense.spec} needs '{text}': {error}") from None
        if needed.spec in path:
            raise UsageError(f"{' needs '.join([*path, needed.spec])}: a defense cannot need itself.")
        _check_needs(needed, [*path, needed.spec])


def _plan_untrained(key: ModelKey, data: str, weights: str) -> TrainJob:
    """Plans the loading of a model that is not trained; it is one model beside any backbone and loss."""
    defense = DEFENSES.build(key.defense)
    code: list[type] = [
        type(DATASETS.build(key.dataset)),
        *map(type, defense.parts()),
        TrainingRun,
    ]
    identity = {
        "model": portable(key).model_dump(),
        "data": data,
        "weights": weights,
        "source": source_digest(code, defense.modules()),
        "protocol": PROTOCOL_VERSION,
    }
    return TrainJob(
        id=digest(identity),
        key=key,
        recipe=Recipe(),
        epochs=0,
        eps=0.0,
        weights=weights,
        plugin_files=plugin_files(code, defense.modules()),
        identity=recorded_parts(identity, code, defense.modules()),
    )


def _teacher_units(teachers: Iterable[TrainJob], folders: Folders) -> float:
    """Estimates what other trainings cost, each counted once, in units for each training image."""
    every = {one.id: one for teacher in teachers for one in (*teacher.all_teachers(), teacher) if one.trained}
    return sum(costs_of(one.key, one.recipe, folders).step * one.epochs for one in every.values())


def _step_cost(key: ModelKey, recipe: Recipe, folders: Folders, notes: list[str] | None) -> float:
    """Measures the cost of a training step, in units for each image; 0 when it cannot be measured."""
    try:
        return probe(key, recipe, folders).step
    except BenchmarkError as error:  # most likely its training will fail too, and say why
        if notes is not None:
            notes.append(f"equal passes for {key.defense}, which cannot take a training step: {error}")
        return 0.0
