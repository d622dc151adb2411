"""Own models in a grid: looked at before anything is run, and the sources of transferred attacks on them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

from benchmark.core.errors import UsageError
from benchmark.core.spec import parse_spec
from benchmark.data import Dataset, Folders
from benchmark.jobs import TrainJob
from benchmark.jobs.models import build_model, few_images, load_data
from benchmark.models.own import OwnEmbedder, own_model
from benchmark.planning.cells import Target
from benchmark.records import ModelKey
from defenses import DEFENSES, GivenModel

WITHOUT_GRADIENTS = "attacked without its gradients, which white-box attacks would need"
"""Why such a model has no rank: its attacks are weaker than those on the other rows."""


@dataclass(frozen=True)
class Look:
    """What the first images showed of a model.

    Attributes:
        gradients: whether gradients reach the images through it.
        notes: what a reader of its scores must know.
    """

    gradients: bool
    notes: tuple[str, ...]


def select_models(texts: list[str]) -> list[GivenModel]:
    """Builds the entries of own models, each once.

    Raises:
        UsageError: for a spec that names no model.
    """
    found: list[GivenModel] = []
    for text in texts:
        name = parse_spec(text).name
        if own_model(name) is None:
            raise UsageError(
                f"'{text}' names no model. Give a Python function (my_file.py:make_model or "
                "package.module:make_model), a TorchScript (.pt), exported (.pt2) or ONNX (.onnx) file, or a "
                "name of timm with --weights FILE."
            )
        entry = DEFENSES.build(text)
        assert isinstance(entry, GivenModel)
        found.append(entry)
    return list({entry.spec: entry for entry in found}.values())


@lru_cache(maxsize=64)
def look_at(key: ModelKey, folders: Folders) -> Look:
    """Runs the first images of the pool through a model that is not trained.

    Raises:
        BenchmarkError: when it cannot be loaded or evaluated, in one line.
    """
    pool = load_data(key.dataset, folders).test
    model, _ = build_model(key, pool)
    model.eval().requires_grad_(False)
    notes = model.settle(few_images(pool, "cpu"))
    gradients = model.gradients if isinstance(model, OwnEmbedder) else True
    return Look(gradients, tuple(notes))


def as_pools(datasets: list[Dataset], models: list[GivenModel]) -> list[Dataset]:
    """Puts every class of data sets into the pool, and reads folders at the size that the models take.

    With models of different sizes a folder is read at its own default.
    """
    sides = {entry.model.side for entry in models} - {None}
    return [dataset.as_pool(sides.pop() if len(sides) == 1 else None) for dataset in datasets]


def own_target(
    target: Target,
    others: list[TrainJob],
    alone: bool,
    transferred: bool,
    unranked: dict[str, str],
    notes: list[str],
    folders: Folders,
) -> Target:
    """Says how an own model is attacked, after a look at it.

    Args:
        target: the model, with the sources of the trained rows beside it.
        others: the own models of the run.
        alone: whether nothing is trained, so that transferred attacks start from another own model.
        transferred: whether transferred attacks are planned at all.
        unranked: gets an entry when white-box attacks cannot be run.
        notes: gets a line for each kind of attack that is left out or made otherwise.
        folders: where data sets are.

    Raises:
        BenchmarkError: when the model cannot be evaluated, in one line.
    """
    name = target.defense.short_name
    gradients = look_at(target.training.key, folders).gradients
    if not gradients:
        unranked[target.defense.spec] = WITHOUT_GRADIENTS
        notes.append(f"white-box attacks on {name}: no gradient reaches the images through it")
    if not alone:
        return replace(target, gradients=gradients)
    source = next(
        (
            other
            for other in others
            if other.id != target.training.id and look_at(other.key, folders).gradients
        ),
        None,
    )
    if source is None:
        if transferred:
            notes.append(f"transferred attacks on {name}: there is no other model to make them on")
        return replace(target, gradients=gradients)
    return replace(target, gradients=gradients, sources=_AnySource(source))


class _AnySource(dict[str, TrainJob]):
    """Gives one model to every transferred attack, whatever source it asks for."""

    def __init__(self, source: TrainJob) -> None:
        super().__init__()
        self._source = source

    def __contains__(self, key: object) -> bool:
        return True

    def __missing__(self, key: str) -> TrainJob:
        return self._source
