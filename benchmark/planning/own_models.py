"""Own models in a grid: looked at before anything is run, and the sources of transferred attacks on them."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache, partial

from benchmark.core.child_process import ChildEndedError, call_in_child
from benchmark.core.errors import BenchmarkError, UsageError
from benchmark.core.spec import parse_spec
from benchmark.data import Dataset, Folders, ImageSet
from benchmark.jobs import TrainJob
from benchmark.jobs.models import build_model, check_weights, load_data, short_name
from benchmark.models.own import own_model
from benchmark.planning.changed_code import forget_changed
from benchmark.planning.target import Target
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
            raise UsageError(
                f"'{text}' names no model. Give a Python function (my_file.py:make_model or "
                "package.module:make_model), a TorchScript (.pt), exported (.pt2) or ONNX (.onnx) file, or a "
                "name of timm with --weights FILE."
            )
        entry = DEFENSES.build(text)
        assert isinstance(entry, GivenModel)
        found.append(entry)
    models = list({entry.spec: entry for entry in found}.values())
    changed = [entry for entry in models if forget_changed(entry.modules())]
    return select_models(texts) if changed else models


def has_gradients(job: TrainJob, folders: Folders) -> bool:
    """Runs the first images of the pool through an own model, and says whether gradients reach them.

    Raises:
        BenchmarkError: when it cannot be loaded or evaluated, or has other weights each time, in one line.
    """
    return _has_gradients(_ById(job), folders)


class _ById:
    """A job that equals any with its id, so that one look is enough for all tables of a data set."""

    def __init__(self, job: TrainJob) -> None:
        self.job = job

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ById) and other.job.id == self.job.id

    def __hash__(self) -> int:
        return hash(self.job.id)


@lru_cache(maxsize=64)
def _has_gradients(known: _ById, folders: Folders) -> bool:
    job = known.job
    pool = load_data(job.key.dataset, folders).test
    try:
        return call_in_child(partial(_look, job, pool))
    except ChildEndedError as error:
        raise BenchmarkError(f"{short_name(job.key)} cannot be evaluated: {error}.") from None


def _look(job: TrainJob, pool: ImageSet) -> bool:
    model, _ = build_model(job.key, pool)
    check_weights(model, job.weights)
    return model.gradients


def as_pools(datasets: list[Dataset], models: list[GivenModel]) -> list[Dataset]:
    """Puts every class of data sets into the pool, and reads folders at the size that the models take.

    With models of different sizes a folder is read at its own default.
    """
    sides = {entry.model.side for entry in models} - {None}
    side = next(iter(sides)) if len(sides) == 1 else None
    return [dataset.as_pool(side) for dataset in datasets]


def looked_at(target: Target, unranked: dict[str, str], notes: list[str], folders: Folders) -> Target:
    """Says whether white-box attacks can be run on an own model, after a look at it.

    Args:
        target: the model.
        unranked: gets an entry when they cannot.
        notes: gets a line then.
        folders: where data sets are.

    Raises:
        BenchmarkError: when the model cannot be evaluated, in one line.
    """
    if has_gradients(target.training, folders):
        return target
    unranked[target.defense.spec] = WITHOUT_GRADIENTS
    notes.append(
        f"white-box attacks on {target.defense.short_name}: no gradient reaches the images through it"
    )
    return replace(target, gradients=False)


def from_own_model(target: Target, own: list[TrainJob], notes: list[str], folders: Folders) -> Target:
    """Makes transferred attacks on the first other own model that has gradients, as nothing is trained.

    Args:
        target: the model that is attacked.
        own: the own models of the run.
        notes: gets a line when there is no such model, so that these attacks are left out.
        folders: where data sets are.
    """
    for job in own:
        if job.id != target.training.id and has_gradients(job, folders):
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
