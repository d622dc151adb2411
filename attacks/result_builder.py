"""The result of an attack, collected batch by batch."""

from __future__ import annotations

import torch
from torch import Tensor

from attacks.base import AttackResult
from attacks.geometry import per_image
from attacks.problem import Problem


class ResultBuilder:
    """Collects attacked images, objective values and zero gradients of an attack, batch by batch.

    The attacked pool is allocated at the first write, because attacks that move all batches jointly need the
    memory until then.

    Args:
        problem: the attack's task.

    Attributes:
        batches: indices in the pool of each batch's images; together they are `problem.perturbed`.
    """

    def __init__(self, problem: Problem) -> None:
        self.batches = problem.batches(problem.perturbed)
        self._problem = problem
        self._images: Tensor | None = None
        self._values: list[Tensor | None] = [None] * len(self.batches)
        self._gradients = 0
        self._zero_gradients: list[Tensor] = []

    @property
    def values(self) -> Tensor | None:
        """Objective values of all perturbed images, shape (t,); None before any was written."""
        written = [values for values in self._values if values is not None]
        return torch.cat(written) if written else None

    def write(self, batch: int, images: Tensor, values: Tensor | None = None) -> None:
        """Writes the attacked images of one batch, replacing what was written before.

        Args:
            batch: position in `batches`.
            images: shape (b, C, H, W).
            values: objective values, shape (b,); None for attacks without an objective.
        """
        if self._images is None:
            self._images = self._problem.empty_pool()
        self._problem.write_batch(self._images, self.batches[batch], images)
        self._values[batch] = values

    def write_better(self, batch: int, images: Tensor, values: Tensor) -> None:
        """Writes those attacked images of one batch whose values exceed the values written before."""
        previous = self._values[batch]
        if previous is not None:
            best = Best(self._problem.get_batch(self.batches[batch], self._images), previous)
            best.add(images, values)
            images, values = best.images, best.values
        self.write(batch, images, values)

    def count_zero_gradients(self, gradient: Tensor) -> None:
        """Counts the images of a batch whose first gradient, shape (b, C, H, W), is exactly zero."""
        self._gradients += len(gradient)
        self._zero_gradients.append((gradient.flatten(1).abs().amax(1) == 0).sum())

    def result(self) -> AttackResult:
        """Returns the result; every batch must have been written."""
        assert self._images is not None
        zero_gradient = None
        if self._gradients:  # looked at only now: a look at each batch would wait for the device
            zero_gradient = int(torch.stack(self._zero_gradients).sum()) / self._gradients
        return AttackResult(self._images, self.values, zero_gradient)


class Best:
    """The best iterates of a batch so far.

    Attributes:
        images: the iterate of the highest objective value of each image, shape (b, C, H, W).
        values: these values, shape (b,).
    """

    def __init__(self, images: Tensor, values: Tensor) -> None:
        self.images = images.clone()
        self.values = values

    def add(self, images: Tensor, values: Tensor) -> None:
        """Keeps those iterates whose values are higher than the best so far."""
        better = (values > self.values).to(images.dtype)
        # With weights of exactly 0 and 1 `lerp` selects exactly, several times as fast as `where` on a CPU.
        self.images.lerp_(images, per_image(better, images))
        self.values = torch.maximum(values, self.values)
