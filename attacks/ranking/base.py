"""What a ranking measure is: whom each image's attack is about, what it maximises, what is reported."""

from __future__ import annotations

from pydantic import NonNegativeInt
from torch import Tensor

from attacks.objectives.base import Objective
from benchmark.core.registry import Registry

PUBLISHED = "_published"
"""Ending of a figure whose ties are treated as in robrank's code; otherwise they count against the model."""


class Measure(Objective):
    """One of the measures of the empirical robustness score (Zhou et al. 2021, arXiv 2106.03614).

    The gallery is the clean pool; image i is itself query i and gallery item i, and never its own candidate.
    An objective, but no registered one: its figures mean nothing outside of the scenario `ranking`.

    Attributes:
        seed: of the draw of targets. It is no training seed: every model that sees the same neighbours gets
            the same targets.
    """

    seed: NonNegativeInt = 0

    def targets(self, clean: Tensor, labels: Tensor, ids: Tensor) -> Tensor:
        """The index of the gallery image that each image's attack is about, shape (n,).

        Args:
            clean: embeddings of the clean pool, unit vectors, shape (n, d).
            labels: classes, shape (n,).
            ids: ids of the images, shape (n,), on the CPU.
        """
        raise NotImplementedError

    def figures(self, clean: Tensor, attacked: Tensor, labels: Tensor, targets: Tensor) -> dict[str, float]:
        """What is reported, from embeddings alone: shares of 1, cosines and distances, by name.

        Figures that ties can touch come twice, the second time with the ending `PUBLISHED`.

        Args:
            clean: embeddings of the clean pool, on the CPU, shape (n, d).
            attacked: embeddings of the attacked pool, shape (n, d).
            labels: classes, shape (n,).
            targets: as `targets` draws them, shape (n,).

        Raises:
            BenchmarkError: when the embeddings cannot be scored.
        """
        raise NotImplementedError


MEASURES: Registry[Measure] = Registry("measure", Measure)


def distance(cosine: Tensor) -> Tensor:
    """Euclidean distance of unit vectors; cut off at 1e-4, below which float32 cosines tell nothing."""
    return (2 - 2 * cosine).clamp_min(1e-8).sqrt()


def twice(name: str, against: Tensor, published: Tensor) -> dict[str, float]:
    """A figure under both treatments of ties, as means."""
    return {name: float(against.mean()), name + PUBLISHED: float(published.mean())}
