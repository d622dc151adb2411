"""A model that is to be attacked, as plans see it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from benchmark.data import Dataset
from benchmark.jobs import TrainJob
from defenses import Defense


@dataclass(frozen=True)
class Target:
    """A model that is to be attacked.

    Attributes:
        training: the job that makes or loads it.
        dataset: its data set.
        defense: its defense, which may declare attacks of its own.
        sources: the models that transferred attacks start from, by the spec that attacks ask for; attacks
            that ask for others are left out.
        gradients: whether white-box attacks can be run on it.
    """

    training: TrainJob
    dataset: Dataset
    defense: Defense
    sources: Mapping[str, TrainJob]
    gradients: bool = True
