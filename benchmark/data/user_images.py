"""The base class of data sets that are given by a path: split of the classes, budgets, short names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from benchmark.core.errors import UsageError
from benchmark.core.files import expand_home
from benchmark.core.labels import Label, as_label
from benchmark.core.parameters import Number
from benchmark.core.seeding import derive_seed
from benchmark.core.spec import format_spec, with_parameters
from benchmark.data.base import DATASETS, Dataset, ImageSet, Split

Positive = Annotated[Number, Field(gt=0)]


class UserImages(Dataset):
    """Images at a path; some classes are for training, the others for testing.

    The split of the classes depends only on `seed` and their names. The labels have the same random order, so
    held-out classes are a fair sample. With `pool=all` one class for training, or none, is enough.

    Attributes:
        kind: the prefix of names that give a path, without the colon.
        train: fraction of the classes that are for training.
        seed: seed of the split of classes; a training seed never changes the data.
        linf: L_inf budget that the leaderboard is ranked at; without it, a run must give one.
        l2: the same in L2.
        label: short name in tables, plots and file names, `name=` in a spec; none uses the last part of the
            path. Seeds and identities do not depend on it.
    """

    kind: ClassVar[str] = ""

    train: Annotated[float, Field(gt=0, lt=1)] = 0.5
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    linf: Positive | None = None
    l2: Positive | None = None
    label: Label | None = Field(default=None, alias="name")

    @property
    def headline_eps(self) -> dict[str, float]:  # type: ignore[override]  # a constant of other data sets
        """The budgets that the spec gives, by norm."""
        return {norm: eps for norm, eps in (("linf", self.linf), ("l2", self.l2)) if eps is not None}

    @property
    def root(self) -> Path:
        """The folder or file.

        Raises:
            UsageError: when none is given.
        """
        return expand_home(Path(self.name.removeprefix(f"{self.kind}:")))

    @property
    def portable(self) -> str:
        """The spec without paths and label; the images themselves are identified by the fingerprint."""
        return format_spec(self.kind, _without_paths(self.portable_values()))

    @property
    def short_name(self) -> str:
        """The label, or the last part of the path, with the parameters that differ, without paths."""
        return with_parameters(self.label or self._own_name(), _without_paths(self.shown_values()))

    def _own_name(self) -> str:
        path = self.root
        if path.name in ("", ".."):  # as in `folder:.` and `folder:..`
            path = path.resolve()
        return as_label(path.name, self.kind)

    def divide(self, names: Iterable[str], where: str) -> tuple[list[str], list[str]]:
        """Divide class names into those for training and those for testing, each in order of label.

        Args:
            names: the names, all different.
            where: where they are, in words, for the message.

        Raises:
            UsageError: when there are too few.
        """
        order = self.shuffled(names)
        count = int(self.train * len(order) + 0.5)
        self.check_numbers(order[:count], order[count:], where)
        return order[:count], order[count:]

    def check_numbers(self, train: Sequence[str], test: Sequence[str], where: str) -> None:
        """Check that there are enough classes in each part, or in both together with `pool=all`.

        Raises:
            UsageError: when there are too few.
        """
        if self.pool == "all":
            if (count := len(train) + len(test)) < 2:
                raise UsageError(f"{where} has {count} class{'es' if count != 1 else ''}; 2 are needed.")
        elif len(train) < 2 or len(test) < 2:
            raise UsageError(
                f"Of the classes in {where}, {len(train)} would be for training and {len(test)} for testing; "
                f"each needs 2 or more: {self.more_classes}."
            )

    @property
    def more_classes(self) -> str:
        """What to do where there are too few classes, in words."""
        return "add classes, change train, or write pool=all where nothing is trained"

    def shuffled(self, names: Iterable[str]) -> list[str]:
        """Return the names in a random order that depends on names and seed; a new name moves no other."""
        return sorted(names, key=lambda name: (derive_seed("folder", self.seed, name), name))

    @staticmethod
    def assemble(
        images: Tensor,
        names: Sequence[str],
        ids: Tensor,
        division: tuple[list[str], list[str]],
        queries: Tensor | None = None,
    ) -> Split:
        """Split images by their classes.

        Args:
            images: uint8 in [0, 255] or float32 in [0, 1], shape (n, C, H, W).
            names: the class of each.
            ids: int64, shape (n,).
            division: names of the training and of the test classes, in order of label.
            queries: as in `ImageSet`.
        """
        train, test = division
        ranks = {name: rank for rank, name in enumerate([*train, *test])}
        everything = ImageSet(images, torch.tensor([ranks[name] for name in names]), ids, queries)
        return Split(
            train=everything.of_classes(torch.arange(len(train))),
            test=everything.of_classes(torch.arange(len(train), len(ranks))),
        )


class GivenByPath(UserImages):
    """The form `KIND[path=PATH]` of a data set that is otherwise called `KIND:PATH`.

    Attributes:
        path: the folder or file; relative to the current directory unless it begins with `/` or `~`.
    """

    path: Path | None = None

    @property
    def root(self) -> Path:
        """The folder or file.

        Raises:
            UsageError: when none is given.
        """
        if self.path is None:
            raise UsageError(
                f"The data set '{self.kind}' needs a path: write {self.kind}:PATH or {self.kind}[path=PATH]."
            )
        return expand_home(self.path)

    def _own_name(self) -> str:
        return super()._own_name() if self.path is not None else self.kind


def _without_paths(values: dict[str, Any]) -> dict[str, Any]:
    """Keep the parameters that mean the same on every machine: neither paths nor the label."""
    return {key: value for key, value in values.items() if key != "name" and not isinstance(value, Path)}


def named_by_path(base: type[UserImages]) -> Callable[[str], type[Dataset] | None]:
    """Return the source of classes of the data sets `KIND:PATH`, for a registry."""
    prefix = f"{base.kind}:"

    @cache
    def find(name: str) -> type[Dataset] | None:
        if not name.startswith(prefix) or name == prefix:
            return None
        path = Path(name.removeprefix(prefix))
        return type(
            base.__name__,
            (base,),
            # One spelling of one path, so that `data/` and `data` are the same data set.
            {"name": f"{prefix}{path.as_posix()}", "__module__": base.__module__, "__doc__": base.__doc__},
        )

    return find


def advise_prefix(name: str) -> None:
    """Reject a path without a kind, with the name to write in its place; for a registry.

    Raises:
        UsageError: when the name is a path.
    """
    if name.startswith(("/", "./", "../", "~")):
        file = expand_home(Path(name)).suffix == ".safetensors"
        kind = "a file of tensors" if file else "a folder of images"
        written = format_spec(f"{'tensors' if file else 'folder'}:{name}", {})
        raise UsageError(f"Unknown data set '{name}'. For {kind} write {written}.")


DATASETS.add_fallback(advise_prefix)
