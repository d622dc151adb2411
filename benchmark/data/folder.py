"""A folder of images as a data set, with one subfolder for each class."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from functools import cache as memoise
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from benchmark.core.code import code_digest
from benchmark.core.errors import BenchmarkError, UsageError, unknown_name
from benchmark.core.labels import Label, as_label
from benchmark.core.parameters import Number
from benchmark.core.seeding import derive_seed
from benchmark.core.spec import format_spec
from benchmark.data import image_files
from benchmark.data.base import DATASETS, Dataset, Folders, ImageSet, Split
from benchmark.data.cache import cached, fingerprint

PREFIX = "folder:"
"""Prefix of data set names that give the path of the images."""

Positive = Annotated[Number, Field(gt=0)]


class ImageFolder(Dataset):
    """A folder of images, one subfolder a class; some classes are for training, the others for testing.

    Images are the PNG, JPEG, BMP and WebP files directly in a class's folder; hidden files and folders,
    `__MACOSX` and other files are ignored. The split of the classes depends only on `seed` and their names.
    The labels have the same random order, so held-out classes are a fair sample. Transparent images are
    composited over white. Images are uint8 in [0, 255], shape (n, 1 or 3, H, W); ids are hashes of class and
    file name.

    Attributes:
        size: side in pixels that the central square of each image is scaled to, with antialiasing; none
            keeps images as they are, which must then have one size.
        grey: one channel instead of three.
        per_class: number of images of each class to use, drawn by a hash of their names: the same on every
            machine, and those of a smaller number are among those of a larger one. None uses all.
        train: fraction of the classes that are for training; unused when a list of classes is given.
        seed: seed of the split of classes; a training seed never changes the data.
        train_classes: text file with the name of one training class on each line.
        test_classes: the same for test classes. With one list, all other classes form the other set; with
            both lists, classes in neither are left out.
        linf: L_inf budget that the leaderboard is ranked at; without it, a run must give one.
        l2: the same in L2.
        label: short name in tables, plots and file names, `name=` in a spec; none uses the folder's own
            name. Seeds and identities do not depend on it.
    """

    size: Annotated[int, Field(ge=8, le=1024)] | None = 28
    grey: bool = False
    per_class: Annotated[int, Field(ge=2)] | None = None
    train: Annotated[float, Field(gt=0, lt=1)] = 0.5
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    train_classes: Path | None = None
    test_classes: Path | None = None
    linf: Positive | None = None
    l2: Positive | None = None
    label: Label | None = Field(default=None, alias="name")

    @property
    def headline_eps(self) -> dict[str, float]:  # type: ignore[override]  # a constant of other data sets
        """The budgets that the spec gives, by norm."""
        return {norm: eps for norm, eps in (("linf", self.linf), ("l2", self.l2)) if eps is not None}

    @property
    def natural(self) -> bool:  # type: ignore[override]  # a constant of other data sets
        """Whether the images have three channels: these count as photographs."""
        return not self.grey

    @property
    def root(self) -> Path:
        """The folder of the class folders.

        Raises:
            UsageError: when none is given.
        """
        return Path(self.name.removeprefix(PREFIX)).expanduser()

    @property
    def portable(self) -> str:
        """The spec without paths and label; the images themselves are identified by the fingerprint."""
        return format_spec("folder", self._settings())

    @property
    def short_name(self) -> str:
        """The label, or the folder's own name, with the parameters that differ, without paths."""
        return format_spec(self.label or self._folder_name(), self._settings())

    def _settings(self) -> dict[str, Any]:
        """The parameters in the spec that mean the same on every machine: neither paths nor the label."""
        changed = self._changed()
        return {key: value for key, value in changed.items() if key != "name" and not isinstance(value, Path)}

    def _folder_name(self) -> str:
        path = self.root
        if path.name in ("", ".."):  # as in `folder:.` and `folder:..`
            path = path.resolve()
        return as_label(path.name, "folder")

    def read(self, folders: Folders) -> Split:
        """Decode the images, or read them from the cache when they were decoded before.

        Raises:
            BenchmarkError: when the folder, a class, a list or an image is missing or damaged, or the cache
                cannot be written.
        """
        train, test = self._split
        files, key = self._files, self._decoded_key
        file = folders.cache / f"folder-{key}.safetensors"
        images = cached(file, lambda: {"images": self._decode()})["images"]
        names = [image_files.plain_name(file.parent) for file in files]
        ranks = {name: rank for rank, name in enumerate([*train, *test])}
        all_images = ImageSet(
            images,
            torch.tensor([ranks[name] for name in names]),
            torch.tensor(
                [derive_seed(n, image_files.plain_name(f)) for n, f in zip(names, files, strict=True)]
            ),
        )
        return Split(
            train=all_images.of_classes(torch.arange(len(train))),
            test=all_images.of_classes(torch.arange(len(train), len(ranks))),
        )

    def fingerprint(self, folders: Folders) -> str:
        """Return a hash of the decoded images and of the split; a copy of a small folder has the same hash.

        Above 200 MB, modification times are hashed in place of contents, so a copy has another hash.

        Raises:
            BenchmarkError: when the folder, a class or a list is missing or wrong.
        """
        return fingerprint(self._decoded_key, self._split)

    def missing(self, folders: Folders) -> str | None:
        """Return what is wrong with the folder, its classes or the lists, or None; no image is decoded."""
        try:
            _ = self._files
        except BenchmarkError as error:
            return str(error)
        return None

    @cached_property
    def _folders(self) -> dict[str, Path]:
        return image_files.class_folders(self.root)

    @cached_property
    def _split(self) -> tuple[list[str], list[str]]:
        """Names of the training and of the test classes, in order of label."""
        if self.train_classes or self.test_classes:
            listed = [self._listed(file) for file in (self.train_classes, self.test_classes)]
            train, test = (
                self._shuffled(set(self._folders) - other if names is None else names)
                for names, other in zip(listed, [listed[1] or set(), listed[0] or set()], strict=True)
            )
            if both := sorted({*train} & {*test}):
                raise UsageError(f"The class '{both[0]}' is in {self.train_classes} and {self.test_classes}.")
        else:
            order = self._shuffled(self._folders)
            count = int(self.train * len(order) + 0.5)
            train, test = order[:count], order[count:]
        if len(train) < 2 or len(test) < 2:
            raise UsageError(
                f"{len(train)} classes in {self.root} are for training and {len(test)} for testing; each "
                "needs 2 or more: add class folders, or change train, train_classes or test_classes."
            )
        return train, test

    @cached_property
    def _files(self) -> list[Path]:
        """The image files of every class in the split, in order of class and file name."""
        files: list[Path] = []
        for name in sorted([*self._split[0], *self._split[1]]):
            found = image_files.image_files(self._folders[name])
            if len(found) < 2:
                raise BenchmarkError(
                    f"The class folder {self._folders[name]} has {len(found) or 'no'} image"
                    f"{' (subfolders are not searched)' if not found else ''}; a class needs 2 or more: add "
                    "some, delete the folder, or leave the class out with train_classes and test_classes."
                )
            files += self._some(name, found)
        return files

    def _some(self, name: str, files: list[Path]) -> list[Path]:
        """Draw `per_class` images of a class by a hash of their names, and return them in order of name."""
        drawn = sorted(files, key=lambda file: derive_seed("per class", name, image_files.plain_name(file)))
        return sorted(drawn[: self.per_class], key=image_files.plain_name)

    @cached_property
    def _decoded_key(self) -> str:
        """A hash of everything that the decoded images depend on, which the split is not part of."""
        source = code_digest(Path(image_files.__file__))
        digest = image_files.files_digest(self._files)
        return fingerprint(digest, self.size, self.grey, source, image_files.decoder_versions())

    def _shuffled(self, names: Iterable[str]) -> list[str]:
        """Return the names in a random order that depends on names and seed; a new name moves no other."""
        return sorted(names, key=lambda name: (derive_seed("folder", self.seed, name), name))

    def _listed(self, file: Path | None) -> set[str] | None:
        """Read the classes that a list file names.

        Raises:
            UsageError: when it cannot be read, names no class, or names one that has no folder.
        """
        if file is None:
            return None
        try:
            text = file.expanduser().read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"The list of classes {file} cannot be read: {error}.") from None
        names = {unicodedata.normalize("NFC", line.strip()) for line in text.splitlines()} - {""}
        if not names:
            raise UsageError(f"The list of classes {file} is empty; write one class name on each line.")
        for name in sorted(names - set(self._folders)):
            raise unknown_name(f"class (in {file})", name, self._folders)
        return names

    def _decode(self) -> Tensor:
        """Decode every image, uint8, shape (n, C, H, W)."""
        first = image_files.decode(self._files[0], self.size, self.grey)
        images = np.empty((len(self._files), *first.shape), dtype=np.uint8)
        for row, file in enumerate(self._files):
            image = image_files.decode(file, self.size, self.grey)
            if image.shape != first.shape:
                sides = [f"{width}x{height}" for _, height, width in (image.shape, first.shape)]
                raise UsageError(f"{file} is {sides[0]}, {self._files[0]} is {sides[1]}: give a size.")
            images[row] = image
        return torch.from_numpy(images)


@DATASETS.register("folder")
class NamedFolder(ImageFolder):
    """A folder of images with one subfolder for each class: `folder:PATH`, or `folder[path=PATH]`.

    The second form can hold a path with spaces. The other parameters are those of `ImageFolder`.

    Attributes:
        path: the folder; relative to the current directory unless it begins with `/` or `~`.
    """

    path: Path | None = None

    @property
    def root(self) -> Path:
        """The folder of the class folders.

        Raises:
            UsageError: when none is given.
        """
        if self.path is None:
            raise UsageError("The data set 'folder' needs a path: write folder:PATH or folder[path=PATH].")
        return self.path.expanduser()

    def _folder_name(self) -> str:
        return super()._folder_name() if self.path is not None else "folder"


@memoise
def image_folder(name: str) -> type[Dataset] | None:
    """Return the class of the data set `folder:PATH`; None for a name of another form."""
    if not name.startswith(PREFIX) or name == PREFIX:
        return None
    path = Path(name.removeprefix(PREFIX))
    return type(
        "ImageFolder",
        (ImageFolder,),
        # One spelling of one path, so that `data/` and `data` are the same data set.
        {"name": f"{PREFIX}{path.as_posix()}", "__module__": __name__, "__doc__": ImageFolder.__doc__},
    )


DATASETS.add_fallback(image_folder)
