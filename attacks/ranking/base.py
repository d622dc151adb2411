"""The contract of a ranking measure: an objective, its targets, and the scores that are reported."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, NonNegativeInt
from torch import Tensor

from attacks.objectives.base import Objective
from benchmark.core.registry import Registry

PUBLISHED = "_published"
"""Suffix of a score whose ties are treated as in robrank's code; without it ties count against the model."""


class Measure(Objective):
    """One of robrank's measures: those of the empirical robustness score (arXiv 2106.03614), and beside it.

    The gallery is the clean pool; image i is itself query i and gallery item i, and never its own candidate.
    A measure is an objective, but not a registered one: its scores mean nothing outside the scenario
    `ranking`.

    Attributes:
        seed: of the draw of targets. It is not a training seed: all models with the same nearest neighbors
            get the same targets.
    """

    seed: NonNegativeInt = 0

    def targets(self, clean: Tensor, labels: Tensor, ids: Tensor) -> Tensor:
        """Returns the index of the gallery image that each image's attack is about, shape (n,).

        For a measure about several images, their indices, shape (n, k).

        Args:
            clean: embeddings of the clean pool, unit vectors, shape (n, d).
            labels: classes, shape (n,).
            ids: ids of the images, shape (n,), on the CPU.
        """
        raise NotImplementedError

    def scores(self, clean: Tensor, attacked: Tensor, labels: Tensor, targets: Tensor) -> dict[str, float]:
        """Computes the reported scores from embeddings: fractions in [0, 1], cosines and distances, by name.

        Scores that depend on ties are given twice, the second time with the suffix `PUBLISHED`.

        Args:
            clean: embeddings of the clean pool, on the CPU, shape (n, d).
            attacked: embeddings of the attacked pool, shape (n, d).
            labels: classes, shape (n,).
            targets: as `targets` returns them.

        Raises:
            BenchmarkError: when the embeddings cannot be scored.
        """
        raise NotImplementedError


MEASURES: Registry[Measure] = Registry("measure", Measure)

MeasureSpec = Annotated[str, AfterValidator(MEASURES.canonical)]
"""The spec string of a measure, as a parameter of an attack: `ca_plus` or `ca_plus[seed=1]`."""


def distance(cosine: Tensor) -> Tensor:
    """Computes the Euclidean distance of unit vectors, at least 1e-4: float32 cosines resolve no less."""
    return (2 - 2 * cosine).clamp_min(1e-8).sqrt()


def both_tie_rules(name: str, against_model: Tensor, published: Tensor) -> dict[str, float]:
    """Returns the means of a score under both treatments of ties, by name."""
    return {name: float(against_model.mean()), name + PUBLISHED: float(published.mean())}
