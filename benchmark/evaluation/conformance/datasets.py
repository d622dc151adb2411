"""The contract of data sets: what `load` returns, the same each time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256

import torch

from attacks.geometry import MAX_L2, NORMS, is_budget
from benchmark.core.errors import BenchmarkError
from benchmark.data import Dataset, Folders, ImageSet, Split
from benchmark.evaluation.conformance.contract import Contract
from benchmark.evaluation.conformance.contract_check import ContractError, NotApplicableError

CHUNK = 512
"""Images compared at a time."""

MOST_DUPLICATES = 0.01
"""Fraction of the test images that may be training images too: public collections hold some twice."""


@dataclass(frozen=True)
class DatasetFixture:
    """A data set, with the folders that it is read from.

    Attributes:
        dataset: the data set under test.
        folders: the folders.
    """

    dataset: Dataset
    folders: Folders

    def load(self) -> Split:
        """Loads the split.

        Raises:
            NotApplicableError: when files are missing.
            ContractError: when what is read does not fit.
        """
        reason = self.dataset.missing(self.folders)
        if reason:
            raise NotApplicableError(reason.rstrip("."))
        try:
            return self.dataset.load(self.folders)
        except BenchmarkError as error:
            raise ContractError(str(error).rstrip(".")) from error


DATASET: Contract[Dataset, DatasetFixture] = Contract(Dataset, DatasetFixture)


@DATASET.check(
    "`headline_eps` gives the budget that the leaderboard is ranked at.",
    "Write headline_eps = {'linf': 0.1}, with norms linf, l2 or l0 and budgets above 0, in linf at most 1, "
    f"in l2 at most {MAX_L2:g}, in l0 whole numbers.",
)
def headline_eps(fixture: DatasetFixture) -> None:
    """Checks the declaration; without it every run must be given a budget."""
    budgets = fixture.dataset.headline_eps
    if not budgets:
        raise NotApplicableError("headline_eps is empty, so every run of it needs --eps and a training's eps")
    for norm, eps in budgets.items():
        if norm not in NORMS or not isinstance(eps, int | float) or not is_budget(norm, eps):
            raise ContractError(f"headline_eps has {norm!r}: {eps!r}")


@DATASET.check(
    "load(folders) returns a Split of images with labels from 0 and unique ids, train and test apart.",
    "Return Split(train, test) of ImageSet: images uint8, or float32 in [0, 1]; labels int64, contiguous "
    "from 0 in each part; ids int64, each once.",
)
def loads(fixture: DatasetFixture) -> None:
    """Checks what `load` checks of every data set, and for a large one reads some of its images."""
    split = fixture.load()
    for part in (split.train, split.test):
        images = part.batch(slice(0, CHUNK))
        if not bool(((images >= 0) & (images <= 1)).all()):
            raise ContractError("batch gives pixels outside [0, 1]")


@DATASET.check(
    "It gives the same images, labels, ids and fingerprint each time.",
    "Draw with a generator of a fixed seed, and sort what a folder lists.",
    after=("loads",),
)
def same_twice(fixture: DatasetFixture) -> None:
    """Checks that a data set is the same for every process that loads it."""
    if fixture.dataset.identity(fixture.folders) != fixture.dataset.identity(fixture.folders):
        raise ContractError("two fingerprints differ")
    first, second = fixture.load(), fixture.load()
    for name in ("train", "test"):
        one, other = getattr(first, name), getattr(second, name)
        for what in ("labels", "ids", "queries"):
            a, b = getattr(one, what), getattr(other, what)
            if (a is None) != (b is None) or (a is not None and not torch.equal(a, b)):
                raise ContractError(f"two loads give different {name} {what}")
        for start in range(0, len(one), CHUNK):
            part = slice(start, start + CHUNK)
            if not torch.equal(one.batch(part), other.batch(part)):
                raise ContractError(f"two loads give different {name} images")


@DATASET.check(
    "No more than 1 % of the test images are training images too.",
    "Leave out of one part what the other holds: a model may know what it was trained on.",
    after=("loads",),
)
def parts_differ(fixture: DatasetFixture) -> None:
    """Checks for images that are the same, pixel by pixel."""
    split = fixture.load()
    known = {digest for _, digest in _digests(split.train)}
    same = [place for place, digest in _digests(split.test) if digest in known]
    if len(same) > MOST_DUPLICATES * len(split.test):
        raise ContractError(
            f"{len(same)} of {len(split.test)} test images are training images too, the first of them number "
            f"{same[0]}"
        )


def _digests(images: ImageSet) -> Iterator[tuple[int, bytes]]:
    """The place of each image, and a hash of its pixels."""
    for start in range(0, len(images), CHUNK):
        for offset, image in enumerate(images.batch(slice(start, start + CHUNK))):
            yield start + offset, sha256(image.numpy().tobytes()).digest()


@DATASET.check_settings(after=("loads",))
def use(fixture: DatasetFixture) -> Callable[[], object]:
    """Prepares the call that is checked."""
    return fixture.load
