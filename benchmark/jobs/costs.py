"""What is known of the costs of models: each kind is probed once, one with a plugin's code in a child."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import NamedTuple

from benchmark.core.child_process import call_in_child, call_in_children
from benchmark.core.cpu import cores
from benchmark.core.errors import BenchmarkError
from benchmark.core.hardware import one_thread
from benchmark.core.own_line import explain, files_of
from benchmark.data import Folders
from benchmark.jobs.isolation import has_foreign_code
from benchmark.jobs.models import UNUSED, load_data
from benchmark.jobs.probe import BACKBONE, Costs, Probed, probe_here
from benchmark.losses import LOSSES
from benchmark.models import BACKBONES, count_flops
from benchmark.plugins.reach import is_project
from benchmark.records import ModelKey
from benchmark.training import Recipe
from defenses import DEFENSES


@dataclass
class _Found:
    """What is known of a kind of model: what it showed, or why it showed nothing; None before it is asked."""

    probed: Probed | str | None = None


class _Kind(NamedTuple):
    """Models that cost the same.

    Attributes:
        key, recipe: of one of them.
        folders: where data sets are.
    """

    key: ModelKey
    recipe: Recipe
    folders: Folders


@lru_cache(maxsize=1024)
def _found(kind: _Kind) -> _Found:
    return _Found()


def _kind(key: ModelKey, recipe: Recipe, folders: Folders) -> _Kind:
    """Keeps only what the cost of a step depends on, so that models that agree in that are probed once."""
    small = Recipe(
        validation=recipe.validation,
        inner_steps=recipe.inner_steps,
        batch_size=recipe.batch_size,
        images_per_class=recipe.images_per_class,
    )
    return _Kind(key.model_copy(update={"seed": 0, "backbone": BACKBONE}), small, folders)


def _probe_or_say_why(kind: _Kind) -> Probed | str:
    """Probes a kind of model; returns why it cannot be, in a clause."""
    try:
        return probe_here(kind.key, kind.recipe, kind.folders)
    except BenchmarkError as error:
        return str(error)
    except (Exception, SystemExit) as error:
        return explain(error, files_of(type(DEFENSES.build(kind.key.defense))))


def probe_all(models: Iterable[tuple[ModelKey, Recipe]], folders: Folders) -> None:
    """Probes models that are not known yet, or failed; what is found, or fails now, is kept for `probe`.

    Those with other people's code are probed in child processes, on all cores: one that ends its process
    fails alone. The others are probed here, which imports their libraries once.

    Args:
        models: the models, each with its recipe.
        folders: where data sets are.

    Raises:
        BenchmarkError: when a data set cannot be read.
    """
    kinds = dict.fromkeys(_kind(key, recipe, folders) for key, recipe in models)
    plugins = []
    for kind in (kind for kind in kinds if not isinstance(_found(kind).probed, Probed)):
        load_data(kind.key.dataset, folders)  # what it lacks is no failure of a model, to be tried with each
        if has_foreign_code(kind.key, _is_foreign):
            plugins.append(kind)
        else:
            _found(kind).probed = _probe_or_say_why(kind)
    for kind in plugins:  # what each child would else import on its own
        _import_library(kind.key.loss)
    answers = call_in_children([partial(_probe_or_say_why, kind) for kind in plugins], cores())
    for kind, answer in zip(plugins, answers, strict=True):
        _found(kind).probed = str(answer) if isinstance(answer, Exception) else answer


def _is_foreign(module: str) -> bool:
    return not is_project(module)


def _import_library(loss: str) -> None:
    """Imports what one of the project's own losses is made with."""
    with suppress(Exception):  # the probe will say why
        if loss != UNUSED and not _is_foreign(type(LOSSES.build(loss)).__module__):
            LOSSES.build(loss).build(2, 2)


def probe(key: ModelKey, recipe: Recipe, folders: Folders) -> Costs:
    """Measures costs by a few training steps of a new model; they do not depend on the model's seed.

    Args:
        key: which model.
        recipe: how it is trained.
        folders: where data sets are.

    Raises:
        BenchmarkError: when a plugin fails.
    """
    kind = _kind(key, recipe, folders)
    if _found(kind).probed is None:
        probe_all([(key, recipe)], folders)
    probed = _found(kind).probed
    if not isinstance(probed, Probed):
        raise BenchmarkError(probed)
    return _with_similarity(probed, key, folders)


def costs_of(key: ModelKey, recipe: Recipe, folders: Folders) -> Costs:
    """Measures the costs of a model; for a plugin that fails, returns those of a plain model.

    The plugin's error is reported when its job runs.
    """
    try:
        return probe(key, recipe, folders)
    except BenchmarkError:
        return Costs(3.0, 1.0, len(load_data(key.dataset, folders).train), False)


class _Sizes(NamedTuple):
    """Dimensions of a backbone's embeddings, and FLOPs of a forward pass of one image."""

    dim: int
    flops: int


def _sizes_or_say_why(backbone: str, shape: tuple[int, int, int]) -> _Sizes | str:
    """Measures a backbone; returns why it cannot be, in a clause."""
    built = BACKBONES.build(backbone)
    try:
        with one_thread():
            return _Sizes(built.embedding_dim(shape), count_flops(built.build_random(shape), shape))
    except BenchmarkError as error:
        return str(error)
    except (Exception, SystemExit) as error:
        return explain(error, files_of(type(built)))


@lru_cache(maxsize=64)
def _sizes(backbone: str, cls: type, shape: tuple[int, int, int]) -> _Sizes | str:
    """Measures a backbone of a class, one of other people's code in a child; or says why it cannot."""
    measure = partial(_sizes_or_say_why, backbone, shape)
    try:
        return call_in_child(measure) if _is_foreign(cls.__module__) else measure()
    except BenchmarkError as error:
        return str(error)


def _with_similarity(found: Probed, key: ModelKey, folders: Folders) -> Costs:
    """Adds the cost of comparing an image with the pool, in units of the model's own backbone.

    Raises:
        BenchmarkError: when the backbone fails.
    """
    pool = load_data(key.dataset, folders).test
    shape, backbone = pool.image_shape, BACKBONE if key.backbone == UNUSED else key.backbone
    dim, flops = float(found.dim), found.flops
    trained = DEFENSES.build(key.defense).trained
    if trained or not found.costs.embed:  # without a network: the unit is that of the rows beside it
        sizes = _sizes(backbone, type(BACKBONES.build(backbone)), shape)
        if not isinstance(sizes, _Sizes):
            raise BenchmarkError(sizes)
        flops = sizes.flops
        if trained:
            dim *= sizes.dim / BACKBONES.build(BACKBONE).embedding_dim(shape)
    return found.costs._replace(similarity=2.0 * len(pool) * dim / flops)
