"""The data set interface: two sets of images whose classes do not overlap."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal, NamedTuple

from benchmark.core.errors import UsageError
from benchmark.core.parameters import Parameters
from benchmark.core.registry import Registry
from benchmark.data.checks import check_split
from benchmark.data.image_set import ImageSet, Split

__all__ = ["DATASETS", "About", "BlankData", "Counts", "Dataset", "Folders", "ImageSet", "Split"]

_VALIDATION_FRACTION = 0.25


class Folders(NamedTuple):
    """The folders that data sets are read from and written to.

    Attributes:
        cache: holds what was drawn, unpacked or decoded.
        data: holds the archives and folders as they were downloaded.
        blank: replace data sets that are missing, or would have to be decoded, by black images, in order to
            estimate costs.
    """

    cache: Path
    data: Path
    blank: bool = False


class Counts(NamedTuple):
    """Numbers of classes and images of a split, and of the test images that are queries only."""

    train_classes: int
    train_images: int
    test_classes: int
    test_images: int
    queries: int = 0


class About(NamedTuple):
    """How to obtain a data set.

    Attributes:
        source: URL of its page.
        size: size of the download, in words ("1.1 GB").
        license: the license, in words.
        layout: the files or folders that must be in the data folder, in words.
    """

    source: str
    size: str
    license: str
    layout: str


class BlankData(NamedTuple):
    """Black images that replace those of a data set and take no memory, and their fingerprint."""

    split: Split
    identity: str


class Dataset(Parameters):
    """A data set of the benchmark; subclasses implement `read`.

    With `validation=true` the test classes are not used: a quarter of the training classes, always the same
    ones, replace them. For trials of attacks and protocols.

    With `pool=all` the training images are in the pool too, so that every class is; for models that are not
    trained on any of them. Data sets with official queries and gallery (`inshop`) keep these as their pool.

    Attributes:
        headline_eps: for each norm ("linf", "l2", "l0") the budget that the leaderboard is ranked at.
        natural: whether the images are RGB photographs, for which backbones start from ImageNet weights.
        recall_ks: the values of K in Recall@K that the field reports for it.
        about: how to obtain it; None for what needs no download.
        official: the counts given in the field's papers; None where there are none.
    """

    headline_eps: ClassVar[dict[str, float]] = {}
    natural: ClassVar[bool] = False
    recall_ks: ClassVar[tuple[int, ...]] = (1, 2, 4, 8)
    about: ClassVar[About | None] = None
    official: ClassVar[Counts | None] = None

    validation: bool = False
    pool: Literal["test", "all"] = "test"

    def read(self, folders: Folders) -> Split:
        """Read or generate the data set; may keep files in the cache folder.

        Raises:
            BenchmarkError: when files are missing or damaged; the message says which, and what to do.
        """
        raise NotImplementedError

    def fingerprint(self, folders: Folders) -> str:
        """Return a hash of what the images depend on besides parameters and source, such as files."""
        return ""

    def load(self, folders: Folders) -> Split:
        """Load the split to train and test on: the official one, or the validation split.

        What `read` returns is checked first. With `pool=all` the test images are the whole pool.

        Raises:
            UsageError: when labels, ids or images are not as `ImageSet` describes them.
            BenchmarkError: as `read` does.
        """
        blank = self._blank_data(folders)
        split = blank.split if blank else self.read(folders)
        if blank is None:
            check_split(split, self.spec, trains=self.pool == "test")
        if self.validation:
            split = Split(*split.train.hold_out(_VALIDATION_FRACTION))
        return split.with_whole_pool() if self.pool == "all" else split

    def as_pool(self, size: int | None = None) -> Dataset:
        """Return this data set with every class in the pool, for models that are not trained.

        Args:
            size: side in pixels of the images that they need, for data sets that can have any.
        """
        return type(self)(**{**self.given(), "pool": "all"})

    @property
    def training_refusal(self) -> str:
        """Say why nothing may be trained on this data set; empty where it may."""
        if self.pool == "test":
            return ""
        return (
            f"nothing can be trained on '{self.spec}': with pool=all the training classes are in the pool "
            "that models are attacked on; leave out pool=all"
        )

    def seen_shape(self, folders: Folders) -> tuple[int, int, int]:
        """(C, H, W) of one image as models see it."""
        return self.load(folders).test.image_shape

    def identity(self, folders: Folders) -> str:
        """Return the fingerprint of what `load` returns."""
        blank = self._blank_data(folders)
        return blank.identity if blank else self.fingerprint(folders)

    def missing(self, folders: Folders) -> str | None:
        """Return why the data set cannot be used on this machine, or None when it can; reads no image."""
        return None

    def check_files(self, folders: Folders) -> None:
        """Run the cheap checks of the files, before any data set of a command is decoded; may unpack.

        Raises:
            BenchmarkError: when files are missing or damaged; the message says which, and what to do.
        """
        return

    def download(self, folders: Folders) -> None:
        """Download the data set into the data folder, show progress, and verify the files.

        Raises:
            UsageError: when it cannot be downloaded by a program.
            BenchmarkError: when the download is incomplete or damaged.
        """
        where = f" Get it from {self.about.source} ({self.about.size})." if self.about else ""
        raise UsageError(f"The data set '{self.name}' cannot be downloaded by a program.{where}")

    def blank(self) -> Split | None:
        """Return black images in the official numbers, to estimate costs where the data set is missing.

        They take no memory. None where the data set has no official counts or no image size of its own.
        """
        return None

    def blank_data(self, folders: Folders) -> BlankData | None:
        """Return black images to estimate costs with in place of `read`; None where `read` is to be called.

        Photographs, which take long to decode, keep their own labels, ids and fingerprint.
        """
        split = self.blank() if self.missing(folders) else None
        return BlankData(split, "blank") if split else None

    def _blank_data(self, folders: Folders) -> BlankData | None:
        return self.blank_data(folders) if folders.blank else None


DATASETS: Registry[Dataset] = Registry("data set", Dataset)
