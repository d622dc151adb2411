"""Each check of the contract of data sets fails for a data set that breaks it."""

from typing import ClassVar

import pytest
import torch

import benchmark
from benchmark.core.errors import BenchmarkError, UsageError
from benchmark.core.parameters import Parameters
from benchmark.data import Dataset, ImageSet, Split
from benchmark.evaluation.conformance import ConformanceError, check_plugin_class
from benchmark.evaluation.conformance.datasets import DATASET

from .results import failures, skipped


class Sound(Dataset):
    """A sound data set."""

    name = "sound"
    headline_eps: ClassVar = {"linf": 0.1}
    scale: float = 1.0

    def images(self):
        return torch.rand(40, 1, 8, 8, generator=torch.Generator().manual_seed(0))

    def read(self, folders):
        images, labels = self.images(), torch.arange(40) % 10
        whole = ImageSet(images, labels, torch.arange(40))
        return Split(whole.of_classes(torch.arange(5)), whole.of_classes(torch.arange(5, 10)))


class OtherSpec(Sound):
    @property
    def spec(self):
        return "sound[scale=2]"


class WrongNorm(Sound):
    headline_eps: ClassVar = {"l1": 0.1}


class NoBudget(Sound):
    headline_eps: ClassVar = {"linf": 0}


class GreyLevels(Sound):
    headline_eps: ClassVar = {"l2": 2.0, "linf": 8}


class HalfAPixel(Sound):
    headline_eps: ClassVar = {"l0": 2.5}


class Damaged(Sound):
    def read(self, folders):
        raise BenchmarkError("The archive is damaged.")


class FromFive(Sound):
    """Its test labels do not start at 0."""

    def read(self, folders):
        split = super().read(folders)
        return Split(split.train, ImageSet(split.test.images, split.test.labels + 5, split.test.ids))


class TwiceTheIds(Sound):
    def read(self, folders):
        split = super().read(folders)
        return Split(split.train, ImageSet(split.test.images, split.test.labels, split.train.ids))


class Bright(Sound):
    def images(self):
        return 255 * super().images()


class NoSplit(Sound):
    def read(self, folders):
        return self.images()


class Changing(Sound):
    def images(self):
        return torch.rand(40, 1, 8, 8)


class Seeds(Sound):
    def images(self):
        torch.manual_seed(0)
        return torch.rand(40, 1, 8, 8)


class Overlapping(Sound):
    def images(self):
        images = super().images()
        images[9] = images[2]
        return images


BROKEN = [
    (Overlapping, "parts_differ", "1 of 20 test images are training images too"),
    (OtherSpec, "spec", "gives another sound"),
    (WrongNorm, "headline_eps", "headline_eps has 'l1': 0.1"),
    (NoBudget, "headline_eps", "headline_eps has 'linf': 0"),
    (GreyLevels, "headline_eps", "headline_eps has 'linf': 8"),
    (HalfAPixel, "headline_eps", "headline_eps has 'l0': 2.5"),
    (Damaged, "loads", "The archive is damaged"),
    (FromFive, "loads", "test labels: 5 classes with labels from 5 to 9"),
    (TwiceTheIds, "loads", "2 images have the id 0"),
    (Bright, "loads", "training images: float32 from "),
    (NoSplit, "loads", "hands over a Tensor: return a Split"),
    (Changing, "same_twice", "two loads give different train images"),
    (Seeds, "leaves_settings", "seeds the generator of torch"),
]


@pytest.mark.parametrize(("dataset", "check", "message"), BROKEN)
def test_a_broken_data_set_fails_exactly_its_check(dataset, check, message):
    found = failures(dataset)
    assert set(found) == {check}, found
    assert message in found[check]


def test_every_check_of_data_sets_has_a_class_that_fails_it():
    assert {check for _, check, _ in BROKEN} == set(DATASET.checks)


def test_missing_files_and_budgets_are_skipped_with_the_reason():
    class Missing(Sound):
        headline_eps: ClassVar = {}

        def missing(self, folders):
            return f"It is not in {folders.data}."

    reasons = skipped(Missing)
    assert "needs --eps" in reasons["headline_eps"]
    assert reasons["loads"].startswith("It is not in /")
    assert reasons["same_twice"] == "'loads' did not pass"


def test_a_class_of_any_kind_is_checked_by_one_function():
    assert benchmark.check_plugin_class is check_plugin_class
    check_plugin_class(Sound(scale=2))
    with pytest.raises(ConformanceError, match="headline_eps"):
        check_plugin_class(WrongNorm)
    with pytest.raises(UsageError, match="no checks for classes such as Parameters"):
        check_plugin_class(Parameters)
    with pytest.raises(UsageError, match="must derive from Parameters"):
        check_plugin_class(int)
