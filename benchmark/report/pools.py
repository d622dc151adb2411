"""The pools that a run searches: their sizes, and which classes of their data sets they hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmark.core.errors import UsageError
from benchmark.core.spec import parse_spec
from benchmark.report.cell_results import CLUSTERING, RETRIEVAL, Run
from benchmark.report.escapes import code

POOL, EVERY_CLASS = "pool", "all"
"""The parameter of a data set, and its value, that puts all of its classes into the pool."""


@dataclass(frozen=True)
class Pool:
    """The pool of one data set.

    Attributes:
        spec: of the data set.
        images: its size, or where that is not known the number of queries; 0 if neither is.
        classes: the number of its classes; 0 where that is not known.
    """

    spec: str
    images: int = 0
    classes: int = 0

    @property
    def every_class(self) -> bool:
        """Whether it holds all classes of the data set, not only the test classes."""
        try:
            return parse_spec(self.spec).parameters.get(POOL) == EVERY_CLASS
        except UsageError:
            return False

    @property
    def size(self) -> str:
        """Its size in words, as in "1,360 test images of 68 classes"; empty where it is not known."""
        if self.classes:
            return f"{self.images:,} {'' if self.every_class else 'test '}images of {self.classes} classes"
        return f"{self.images:,} queries" if self.images else ""


def pools(run: Run) -> list[Pool]:
    """Reads the pool of each data set of a run, in the order of their names."""
    datasets = {cell.key.dataset for cell in run.table_cells}
    return [_pool(run, dataset) for dataset in sorted(datasets, key=run.names.short)]


def classes_sentence(run: Run, pools: Sequence[Pool], trained: bool) -> str:
    """Says which classes are searched.

    Args:
        run: the run.
        pools: its pools.
        trained: whether models were trained, which the test classes are held back from.
    """
    whole = [pool for pool in pools if pool.every_class]
    if not whole:
        if trained:
            return "Test classes are disjoint from training classes."
        return "Only test classes are searched."
    if len(whole) == len(pools):
        return f"All classes of {'each' if len(whole) > 1 else 'the'} data set are searched."
    names = ", ".join(code(run.names.brief(pool.spec)) for pool in whole)
    return f"All classes of {names} are searched, of the others only the test classes."


def _pool(run: Run, dataset: str) -> Pool:
    """Reads the size of a data set's pool, as far as it is known from the arrays."""
    cells = [cell for cell in run.table_cells if cell.key.dataset == dataset and cell.done]
    for cell in cells:
        labels = run.arrays(cell).get("labels") if cell.key.scenario == CLUSTERING else None
        if labels is not None:
            return Pool(dataset, len(labels), len(set(labels.tolist())))
    for cell in cells:
        if cell.key.scenario == RETRIEVAL:
            return Pool(dataset, len(run.arrays(cell)["success"]))
    return Pool(dataset)
