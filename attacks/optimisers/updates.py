"""Update rules: from an iterate, its score and its gradient to the next iterate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from attacks.geometry import Ball, per_image, where_per_image
from attacks.save_point import Stateful


class Update(Stateful):
    """The update rule of one batch, with its state.

    Attributes:
        state_pools: number of image-sized tensors in the state, per image of the batch; gradients count.
    """

    state_pools: ClassVar[int] = 0

    def move(self, images: Tensor, values: Tensor, gradient: Tensor, ball: Ball) -> Tensor:
        """Returns the next iterate.

        Args:
            images: the current iterate, shape (b, C, H, W).
            values: its scores, shape (b,).
            gradient: the gradient of its scores, shape (b, C, H, W).
            ball: the balls that the iterates stay in.
        """
        raise NotImplementedError

    def to(self, device: torch.device) -> None:
        """Moves the state to a device."""
        for name, value in vars(self).items():
            setattr(self, name, _moved_to(value, device))


def _moved_to(value: Any, device: torch.device) -> Any:
    if isinstance(value, tuple):
        return tuple(_moved_to(part, device) for part in value)
    return value.to(device) if isinstance(value, Tensor) else value


MakeUpdate = Callable[[], Update]
"""Makes the update of a batch, once for each start."""


class FixedSteps(Update):
    """Steps of given sizes along the gradient.

    Args:
        sizes: of each step, in units of eps.
    """

    def __init__(self, sizes: Sequence[float]) -> None:
        self._sizes = list(sizes)
        self._step = 0

    def move(self, images: Tensor, values: Tensor, gradient: Tensor, ball: Ball) -> Tensor:
        """Takes one step of the next size."""
        self._step += 1
        return ball.step(images, gradient, self._sizes[self._step - 1])


class MomentumUpdate(Update):
    """Steps along a decaying sum of gradients, each scaled to unit L1 norm (Dong et al. 2018, eq. 6 and 7).

    Args:
        size: of each step, in units of eps.
        decay: of the sum.
    """

    state_pools: ClassVar[int] = 1

    def __init__(self, size: float, decay: float) -> None:
        self._size = size
        self._decay = decay
        self._sum: Tensor | None = None

    def move(self, images: Tensor, values: Tensor, gradient: Tensor, ball: Ball) -> Tensor:
        """Adds the gradient to the sum, and takes a step along the sum."""
        if self._sum is None:
            self._sum = torch.zeros_like(images)
        length = gradient.flatten(1).abs().sum(1).clamp_min(torch.finfo(gradient.dtype).tiny)
        self._sum = self._decay * self._sum + gradient / per_image(length, gradient)
        return ball.step(images, self._sum, self._size)


class AutoPGDUpdate(Update):
    """Auto-PGD (Croce and Hein 2020, arXiv 2003.01690, algorithm 1).

    Steps start at 2 eps, with momentum. At each checkpoint the step size is halved, image by image, where
    there was too little progress, and the search resumes from the best point. The second condition for
    halving, that the best score has not risen, is not applied at the first checkpoint, as in the paper's
    code.

    Args:
        steps: number of steps; the checkpoints are spread over them.
    """

    state_pools: ClassVar[int] = 3

    MIN_RISING = 0.75
    """Fraction of the steps since the last checkpoint that must have raised the score."""

    MOMENTUM = 0.75
    """Weight of the new direction relative to the previous one."""

    def __init__(self, steps: int) -> None:
        self._checkpoints = sorted(checkpoints(steps))
        self._step = 0
        self._since_checkpoint = 0
        self._previous: tuple[Tensor, Tensor] | None = None

    def _initialize(self, clean: Tensor) -> None:
        count, device = len(clean), clean.device
        self._sizes = torch.full((count,), 2.0, device=device)
        self._rises = torch.zeros(count, device=device)
        self._best = (clean, clean, torch.full((count,), -torch.inf, device=device))
        self._best_at_checkpoint = self._best[2]
        self._halved = torch.zeros(count, dtype=torch.bool, device=device)

    def move(self, images: Tensor, values: Tensor, gradient: Tensor, ball: Ball) -> Tensor:
        """Takes a step with momentum, after halving step sizes if a checkpoint is reached."""
        if self._step == 0:
            self._initialize(ball.clean)
        best_images, best_gradient, best_values = self._best
        better = values > best_values
        self._best = (
            where_per_image(better, images, best_images),
            where_per_image(better, gradient, best_gradient),
            torch.where(better, values, best_values),
        )
        previous = images
        if self._previous is not None:
            previous = self._previous[0]
            self._rises += values > self._previous[1]
            self._since_checkpoint += 1
        if self._step in self._checkpoints:
            images, values, gradient = self._halve_steps(images, values, gradient)
        self._previous = (images, values)
        moved = ball.step(images, gradient, per_image(self._sizes, images))
        if self._step:
            momentum = self.MOMENTUM * (moved - images) + (1 - self.MOMENTUM) * (images - previous)
            moved = ball.project(images + momentum)
        self._step += 1
        return moved

    def _halve_steps(self, images: Tensor, values: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Halves the step sizes of images without progress, and returns those images to their best point."""
        best_images, best_gradient, best_values = self._best
        few_rises = self._rises < self.MIN_RISING * self._since_checkpoint
        no_new_best = ~self._halved & (best_values <= self._best_at_checkpoint)
        halve = few_rises | no_new_best
        self._sizes = torch.where(halve, self._sizes / 2, self._sizes)
        self._halved, self._best_at_checkpoint = halve, best_values
        self._rises = torch.zeros_like(self._rises)
        self._since_checkpoint = 0
        return (
            where_per_image(halve, best_images, images),
            torch.where(halve, best_values, values),
            where_per_image(halve, best_gradient, gradient),
        )


def checkpoints(steps: int) -> set[int]:
    """Returns the checkpoints of Auto-PGD: steps at 0.22, 0.41, ... of all, at shrinking intervals."""
    percents = [0, 22]  # integers, or rounding would delay a checkpoint by one step
    while percents[-1] < 100:
        percents.append(percents[-1] + max(percents[-1] - percents[-2] - 3, 6))
    return {-(-percent * steps // 100) for percent in percents[1:] if percent <= 100}
