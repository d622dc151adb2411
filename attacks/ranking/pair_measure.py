"""What attacks on a ranking share: one image moves in the ranking of another."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from attacks.ranking.base import Measure
from attacks.ranking.targets import draw, one_percent


class PairMeasure(Measure):
    """A pair of a query and a candidate that is to be raised, or lowered, in its ranking.

    Attributes:
        raises: whether the candidate is to be raised.
    """

    raises: ClassVar[bool]

    def targets(self, clean: Tensor, labels: Tensor, ids: Tensor) -> Tensor:
        """The other of the pair for each image, drawn at random: any image, or one of the nearest 1 %.

        From the whole pool where it is to be raised; from the nearest where it is to be lowered.
        """
        nearest = {} if self.raises else {"nearest": one_percent(len(clean))}
        return draw(clean, ids, self.name, self.seed, **nearest)
