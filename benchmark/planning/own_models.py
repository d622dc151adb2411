"""Own models in a grid: looked at before anything is run, and the sources of transferred attacks on them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from benchmark.core.child_process import ChildEndedError, call_in_child
from benchmark.core.errors import BenchmarkError, UsageError, did_you_mean
from benchmark.core.spec import parse_spec
from benchmark.data import Dataset, Folders, ImageSet
from benchmark.jobs import TrainJob
from benchmark.jobs.models import build_model, check_weights, load_data, short_name, weights_of
from benchmark.models.own import OwnEmbedder, own_model
from benchmark.models.own.live import LiveModel
from benchmark.models.own.timm_network import timm_names
from benchmark.planning.changed_code import forget_changed
from benchmark.planning.target import Target
from benchmark.records import ModelKey
from defenses import DEFENSES, GivenModel

WITHOUT_GRADIENTS = "attacked without its gradients, which white-box attacks would need"
"""Why such a model has no rank: its attacks are weaker than those on the other rows."""


def select_models(texts: list[str]) -> list[GivenModel]:
    """Builds the entries of own models, each once.

    Raises:
        UsageError: for a spec that names no model.
    """
    found: list[GivenModel] = []
    for text in texts:
        name = parse_spec(text).name
        if own_model(name) is None:
            near = did_you_mean(name, timm_names(), cutoff=0.8)
            raise UsageError(
                f"'{text}' names no model.{near} Give a Python function (my_file.py:make_model or "
                "package.module:make_model), a TorchScript (.pt), exported (.pt2) or ONNX (.onnx) file, or a "
                "name of timm with --weights FILE."
            )
        entry = DEFENSES.build(text)
        assert isinstance(entry, GivenModel)
        found.append(entry)
    models = list({entry.spec: entry for entry in found}.values())
    changed = [entry for entry in models if forget_changed(entry.modules())]
    return select_models(texts) if changed else models


class Look(NamedTuple):
    """What the first images of a pool show of an own model.

    Attributes:
        weights: fingerprint of its weights, its files, and what it returns for a few patterns.
        gradients: whether gradients reach the images.
    """

    weights: str
    gradients: bool


class Looks:
    """Looks at own models before anything is run, once for each data set.

    Args:
        folders: where data sets are.
    """

    def __init__(self, folders: Folders) -> None:
        self._folders = folders
        self._found: dict[tuple[str, str], Look] = {}

    def at(self, key: ModelKey) -> Look:
        """Runs the first images of the pool through an own model.

        Raises:
            BenchmarkError: when it cannot be loaded or evaluated, or has other weights each time, in one
                line.
        """
        known = (key.dataset, key.defense)
        if known not in self._found:
            pool = load_data(key.dataset, self._folders).test
            try:
                self._found[known] = call_in_child(partial(_look, key, pool))
            except ChildEndedError as error:
                raise BenchmarkError(f"{short_name(key)} cannot be evaluated: {error}.") from None
        return self._found[known]


def _look(key: ModelKey, pool: ImageSet) -> Look:
    model, _ = build_model(key, pool)
    assert isinstance(model, OwnEmbedder)
    entry = DEFENSES.build(key.defense)
    assert isinstance(entry, GivenModel)
    if not isinstance(entry.model, LiveModel):  # which is the same object each time
        check_weights(model, entry.fingerprint())
    return Look(weights_of(model), model.gradients)


def as_pools(models: list[GivenModel]) -> Callable[[Dataset], Dataset]:
    """Returns what puts every class of a data set into the pool, and reads it at the size of the models.

    With models of different sizes a folder is read at its own default.
    """
    sides = {entry.model.side for entry in models} - {None}
    side = next(iter(sides)) if len(sides) == 1 else None
    return lambda dataset: dataset.as_pool(side)


def looked_at(target: Target, unranked: dict[str, str], notes: list[str], looks: Looks) -> Target:
    """Says whether white-box attacks can be run on an own model, after a look at it.

    Args:
        target: the model.
        unranked: gets an entry when they cannot.
        notes: gets a line then.
        looks: at own models.

    Raises:
        BenchmarkError: when the model cannot be evaluated, in one line.
    """
    if looks.at(target.training.key).gradients:
        return target
    unranked[target.defense.spec] = WITHOUT_GRADIENTS
    notes.append(
        f"white-box attacks on {target.defense.short_name}: no gradient reaches the images through it"
    )
    return replace(target, gradients=False)


def from_own_model(target: Target, own: list[TrainJob], notes: list[str], looks: Looks) -> Target:
    """Makes transferred attacks on the first other own model that has gradients, as nothing is trained.

    Args:
        target: the model that is attacked.
        own: the own models of the run.
        notes: gets a line when there is no such model, so that these attacks are left out.
        looks: at own models.
    """
    for job in own:
        if job.id != target.training.id and looks.at(job.key).gradients:
            return replace(target, sources=_AnySource(job))
    notes.append(
        f"transferred attacks on {target.defense.short_name}: there is no other model to make them on"
    )
    return target


class _AnySource(dict[str, TrainJob]):
    """Gives one model to every transferred attack, whatever source it asks for."""

    def __init__(self, source: TrainJob) -> None:
        super().__init__()
        self._source = source

    def __contains__(self, key: object) -> bool:
        return True

    def __missing__(self, key: str) -> TrainJob:
        return self._source
