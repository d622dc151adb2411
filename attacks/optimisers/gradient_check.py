"""Finding gradients that are not finite without waiting for the device at each step."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from attacks.objectives.base import Score
from attacks.optimisers.evaluation import raise_not_finite
from attacks.save_point import Stateful


class GradientCheck(Stateful):
    """Notes, on the device, whether a gradient of a batch was not finite; looks once, after the steps.

    A look at each step would make the CPU wait for the device, which then waits for the next step.
    """

    def __init__(self) -> None:
        self._not_finite: Tensor | None = None
        self._embeddings: Tensor | None = None

    def add(self, gradient: Tensor, embeddings: Tensor) -> None:
        """Notes the gradient of a step, shape (b, C, H, W), with the embeddings there, shape (b, d)."""
        zero = gradient.sum() * 0  # not a number if a gradient is not finite (or the sum of all overflows)
        if self._not_finite is None or self._embeddings is None:
            self._not_finite, self._embeddings = zero, embeddings
            return
        # The embeddings of the first step whose gradient is not finite say what is the matter.
        self._embeddings = torch.where(self._not_finite == 0, embeddings, self._embeddings)
        self._not_finite = self._not_finite + zero

    def look(self, bind: Callable[[], Score], index: Tensor) -> None:
        """Raises the error of `raise_not_finite` if a gradient was not finite.

        Args:
            bind: returns the bound objective, called only then; not one that has observed later embeddings,
                which may be the consequence.
            index: indices of the batch's images in the pool, shape (b,).
        """
        if self._not_finite is not None and self._embeddings is not None and bool(self._not_finite != 0):
            raise_not_finite(bind(), self._embeddings, index)
