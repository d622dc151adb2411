"""The best of the last iterates of an attack that moves all images jointly."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from attacks.objectives.base import PooledScore, RatedPool
from attacks.save_point import Stateful

LAST = 20
"""Number of last steps whose iterates the best is chosen from.

By then steps have become small and all are near the best; what differs is how k-means happens to fall.
"""

EVERY = 4
"""One in so many of these iterates is rated, the final one too: a rating may take as long as a step."""


class BestPool(Stateful):
    """Keeps the pool of the highest value, where the score can say one (`RatedPool`); nothing otherwise.

    Args:
        score: the bound objective.
        steps: number of steps of the attack.

    Attributes:
        images: the images of the best pool, a tensor for each batch; None where none was kept.
        embeddings: their embeddings, as the score has observed them; those of the final iterate are not kept.
        value: its value.
    """

    constant: ClassVar[tuple[str, ...]] = ("_rated", "_steps")

    def __init__(self, score: PooledScore, steps: int) -> None:
        self._rated = score if isinstance(score, RatedPool) else None
        self._steps = steps
        self.images: list[Tensor] | None = None
        self.embeddings: list[Tensor] | None = None
        self.value = float("-inf")

    def considers(self, step: int) -> bool:
        """Whether the iterate after so many steps may be the one that is kept."""
        left = self._steps - step
        return self._rated is not None and left <= LAST and left % EVERY == 0

    def add(self, step: int, images: list[Tensor], embeddings: list[Tensor] | None = None) -> None:
        """Keeps the images if their pool is the best so far and the step is one of the last.

        Args:
            step: number of steps before these images, from 0 on.
            images: those of each batch; they are not copied.
            embeddings: what the score has observed of them; None for the final iterate.
        """
        if self._rated is None or not self.considers(step):
            return
        value = self._rated.pool_value()
        if value > self.value:
            self.images, self.embeddings, self.value = list(images), embeddings, value
