"""Plans the training of a model: its epochs, its attack budget, its identity."""

from __future__ import annotations

from attacks import ATTACKS
from benchmark.core.errors import UsageError
from benchmark.core.parameters import Parameters
from benchmark.core.protocol import PROTOCOL_VERSION
from benchmark.data import DATASETS, Folders
from benchmark.jobs import TrainingRun, TrainJob
from benchmark.jobs.models import portable
from benchmark.jobs.probe import probe
from benchmark.losses import LOSSES
from benchmark.models import BACKBONES
from benchmark.planning.budgets import headline
from benchmark.planning.config import Configuration
from benchmark.planning.identity import digest, plugin_files, source_digest
from benchmark.records import ModelKey
from benchmark.training import Recipe
from benchmark.training.validation import ATTACK as VALIDATION_ATTACK
from defenses import DEFENSES, Defense


def plan_training(
    key: ModelKey,
    config: Configuration,
    folders: Folders,
    budget: float | None = None,
    notes: list[str] | None = None,
) -> TrainJob:
    """Plans the training of a model; for equal passes, runs a few training steps to measure their cost.

    Args:
        key: the model.
        config: the configuration, with the recipes.
        folders: where data sets are.
        budget: cost units for each training image and epoch of the recipe, which the training is to spend;
            without it the recipe's epochs are trained. The defense's `epochs_scale` multiplies either.
        notes: a line is added when the cost of a step cannot be measured; the recipe's epochs are then used.

    Raises:
        UsageError: when the data set has no headline budget to train with and none is given; for what the
            defense declares and cannot be.
    """
    dataset = DATASETS.build(key.dataset)
    defense = DEFENSES.build(key.defense)
    check_declarations(defense)
    if not defense.trained:
        return _plan_untrained(key, dataset.identity(folders))
    teachers = {
        text: plan_training(key.model_copy(update={"defense": DEFENSES.build(text).spec}), config, folders)
        for text in defense.needs
    }
    backbone = BACKBONES.build(key.backbone)
    recipe = config.recipe(key.dataset)
    validation = ATTACKS.build(VALIDATION_ATTACK).parts() if recipe.validation else []
    eps = headline(dataset, "linf", "training: eps") if recipe.eps is None else recipe.eps
    epochs = max(1, round(_epochs(key, recipe, folders, budget, notes) * defense.epochs_scale))
    named: list[Parameters] = [dataset, backbone, LOSSES.build(key.loss), *defense.parts(), *validation]
    code: list[type] = [*map(type, named), TrainingRun]
    identity = {
        "model": portable(key).model_dump(),
        "recipe": recipe.model_dump(),
        "epochs": epochs,
        "eps": eps,
        "teachers": {text: teacher.id for text, teacher in teachers.items()},
        "data": dataset.identity(folders),
        "weights": backbone.fingerprint(dataset.natural),
        "source": source_digest(code),
        "protocol": PROTOCOL_VERSION,
    }
    return TrainJob(
        id=digest(identity),
        key=key,
        recipe=recipe,
        epochs=epochs,
        eps=eps,
        teachers=teachers,
        plugin_files=plugin_files(code),
    )


def check_declarations(defense: Defense) -> None:
    """Checks what a defense declares about its training.

    Raises:
        UsageError: when `keep_from` is not in [0, 1), or `needs` names what is unknown, or leads back to the
            defense itself, or stands at a defense that is not trained.
    """
    if not 0 <= defense.keep_from < 1:
        raise UsageError(
            f"{defense.spec}: keep_from is {defense.keep_from}; give a fraction of the training in [0, 1)."
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


def _plan_untrained(key: ModelKey, data: str) -> TrainJob:
    """Plans the loading of a model that is not trained; it is one model beside any backbone and loss."""
    code: list[type] = [
        type(DATASETS.build(key.dataset)),
        *map(type, DEFENSES.build(key.defense).parts()),
        TrainingRun,
    ]
    identity = {
        "model": portable(key).model_dump(),
        "data": data,
        "source": source_digest(code),
        "protocol": PROTOCOL_VERSION,
    }
    return TrainJob(
        id=digest(identity), key=key, recipe=Recipe(), epochs=0, eps=0.0, plugin_files=plugin_files(code)
    )


def _epochs(
    key: ModelKey, recipe: Recipe, folders: Folders, budget: float | None, notes: list[str] | None
) -> float:
    """Computes the number of epochs, before the defense's own factor."""
    if budget is None:
        return recipe.epochs
    try:
        step = probe(key, recipe, folders).step
    except (Exception, SystemExit) as error:  # most likely its training will fail too, and say why
        reason = str(error).strip().split("\n", 1)[0]
        if notes is not None:
            notes.append(f"equal passes for {key.defense}, which cannot take a training step: {reason}")
        step = 0.0
    return budget * recipe.epochs / step if step else recipe.epochs
