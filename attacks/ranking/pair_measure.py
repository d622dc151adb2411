"""Measures of attacks that move one image in the ranking of another."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from attacks.ranking.base import Measure
from attacks.ranking.targets import draw, one_percent


class PairMeasure(Measure):
    """A pair of a query and a candidate that is to be raised, or lowered, in the query's ranking.

    Attributes:
        raises: whether the candidate is to be raised.
    """

    raises: ClassVar[bool]

    def targets(self, clean: Tensor, labels: Tensor, ids: Tensor) -> Tensor:
        """Draws the other image of each pair.

        It is any other image if the candidate is to be raised, and one of the nearest 1 % if it is to be
        lowered.
        """
        nearest = {} if self.raises else {"nearest": one_percent(len(clean))}
        return draw(clean, ids, self.name, self.seed, **nearest)
