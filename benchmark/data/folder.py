"""A folder of images as a data set, with one subfolder for each class."""

from __future__ import annotations

import unicodedata
from functools import cached_property
from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from benchmark.core.code import code_digest
from benchmark.core.errors import BenchmarkError, UsageError, unknown_name
from benchmark.core.files import expand_home
from benchmark.core.seeding import derive_seed
from benchmark.data import image_files
from benchmark.data.base import DATASETS, Dataset, Folders, Split
from benchmark.data.cache import cached, fingerprint
from benchmark.data.user_images import GivenByPath, UserImages, named_by_path


class ImageFolder(UserImages):
    """A folder of images, one subfolder a class; some classes are for training, the others for testing.

    Images are the PNG, JPEG, BMP and WebP files directly in a class's folder; hidden files and folders,
    `__MACOSX` and other files are ignored. Transparent images are composited over white. Images are uint8 in
    [0, 255], shape (n, 1 or 3, H, W); ids are hashes of class and file name. The split of the classes and the
    other parameters are those of `UserImages`.

    Attributes:
        size: side in pixels that the central square of each image is scaled to, with antialiasing; none
            keeps images as they are, which must then have one size.
        grey: one channel instead of three.
        per_class: number of images of each class to use, drawn by a hash of their names: the same on every
            machine, and those of a smaller number are among those of a larger one. None uses all.
        train_classes: text file with the name of one training class on each line; `train` is then unused.
        test_classes: the same for test classes. With one list, all other classes form the other set; with
            both lists, classes in neither are left out.
    """

    kind: ClassVar[str] = "folder"

    size: Annotated[int, Field(ge=8, le=1024)] | None = 28
    grey: bool = False
    per_class: Annotated[int, Field(ge=2)] | None = None
    train_classes: Path | None = None
    test_classes: Path | None = None

    @property
    def natural(self) -> bool:  # type: ignore[override]  # a constant of other data sets
        """Whether the images have three channels: these count as photographs."""
        return not self.grey

    @property
    def more_classes(self) -> str:
        """What to do where there are too few classes, in words."""
        return (
            "add class folders, change train, train_classes or test_classes, or write pool=all where nothing "
            "is trained"
        )

    def as_pool(self, size: int | None = None) -> Dataset:
        """Return this data set with every class in the pool, its images of the given size.

        Args:
            size: side in pixels, used unless the spec gives one.

        Raises:
            UsageError: when neither does: models would silently see images of another size than they take.
        """
        given = {"size": size, **self.given()}
        if size is None and "size" not in self.given():
            raise UsageError(
                f"No size is given at which the images of {self.short_name} are read, and the models do not "
                "say one. Give it with the model, as in my_file.py:make_model[size=224], or with the folder, "
                "as in folder:PATH[size=224]."
            )
        return type(self)(**{**given, "pool": "all"})

    def read(self, folders: Folders) -> Split:
        """Decode the images, or read them from the cache when they were decoded before.

        Raises:
            BenchmarkError: when the folder, a class, a list or an image is missing or damaged, or the cache
                cannot be written.
        """
        files, key = self._files, self._decoded_key
        file = folders.cache / f"folder-{key}.safetensors"
        images = cached(file, lambda: {"images": self._decode()})["images"]
        names = [image_files.plain_name(file.parent) for file in files]
        ids = [derive_seed(n, image_files.plain_name(f)) for n, f in zip(names, files, strict=True)]
        return self.assemble(images, names, torch.tensor(ids), self._split)

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
        if not self.train_classes and not self.test_classes:
            return self.divide(self._folders, str(self.root))
        listed = [self._listed(file) for file in (self.train_classes, self.test_classes)]
        train, test = (
            self.shuffled(set(self._folders) - other if names is None else names)
            for names, other in zip(listed, [listed[1] or set(), listed[0] or set()], strict=True)
        )
        if both := sorted({*train} & {*test}):
            raise UsageError(f"The class '{both[0]}' is in {self.train_classes} and {self.test_classes}.")
        self.check_numbers(train, test, str(self.root))
        return train, test

    @cached_property
    def _files(self) -> list[Path]:
        """The image files of every class in the split, in order of class and file name."""
        names = sorted([*self._split[0], *self._split[1]])
        found = {name: image_files.image_files(self._folders[name]) for name in names}
        self._refuse_small_classes(found)
        return [file for name, files in found.items() for file in self._some(name, files)]

    def _refuse_small_classes(self, found: dict[str, list[Path]]) -> None:
        """Refuse classes with fewer than two images, which no image of the class can be found for.

        Raises:
            BenchmarkError: when there are some.
        """
        small = [name for name, files in found.items() if len(files) < 2]
        if not small:
            return
        first = small[0]
        count = len(found[first])
        others = f" ({len(small)} of {len(found)} class folders have one or none)" if small[1:] else ""
        raise BenchmarkError(
            f"The class folder {self._folders[first]} has {count or 'no'} image"
            f"{'' if count else ' (subfolders are not searched)'}{others}; a class needs 2 or more: add "
            "some, delete the folder, or leave the class out with train_classes and test_classes."
        )

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

    def _listed(self, file: Path | None) -> set[str] | None:
        """Read the classes that a list file names.

        Raises:
            UsageError: when it cannot be read, names no class, or names one that has no folder.
        """
        if file is None:
            return None
        try:
            text = expand_home(file).read_text(encoding="utf-8-sig")
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
class NamedFolder(GivenByPath, ImageFolder):
    """A folder of images with one subfolder for each class: `folder:PATH`, or `folder[path=PATH]`.

    The second form can hold a path with spaces. The other parameters are those of `ImageFolder`.
    """


DATASETS.add_fallback(named_by_path(ImageFolder))
