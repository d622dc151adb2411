"""Rules of moving: from an iterate, its score and its gradient to the next iterate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from attacks.geometry import project, steepest


@dataclass(frozen=True)
class Ball:
    """Where a batch may move.

    Attributes:
        clean: the centres, in [0, 1], shape (b, C, H, W).
        norm: "linf" or "l2".
        eps: radius.
    """

    clean: Tensor
    norm: str
    eps: float

    def project(self, images: Tensor) -> Tensor:
        """The nearest images within the ball and the range."""
        return project(images, self.clean, self.norm, self.eps)

    def step(self, images: Tensor, direction: Tensor, size: float | Tensor) -> Tensor:
        """A step of `size` radii along the steepest ascent of a gradient, kept within the ball."""
        return self.project(images + size * self.eps * steepest(direction, self.norm))


class Update:
    """How one batch moves from step to step; may keep what it has seen.

    Attributes:
        pools: how many images it keeps for each image of the batch, gradients counted as such.
    """

    pools: ClassVar[int] = 0

    def move(self, images: Tensor, values: Tensor, gradient: Tensor, ball: Ball) -> Tensor:
        """The next iterate.

        Args:
            images: where the batch is, shape (b, C, H, W).
            values: the score there, shape (b,).
            gradient: the score's gradient there, shape (b, C, H, W).
            ball: where the batch may move.
        """
        raise NotImplementedError

    def fetch(self, device: torch.device) -> None:
        """Takes all that it keeps to a device."""
        for name, value in vars(self).items():
            setattr(self, name, _fetched(value, device))


def _fetched(value: Any, device: torch.device) -> Any:
    if isinstance(value, tuple):
        return tuple(_fetched(part, device) for part in value)
    return value.to(device) if isinstance(value, Tensor) else value


MakeUpdate = Callable[[], Update]
"""Makes the rule for a batch, once for each start."""


class FixedSteps(Update):
    """FixedSteps of given sizes along the gradient.

    Args:
        sizes: of each step, in units of eps.
    """

    def __init__(self, sizes: Sequence[float]) -> None:
        self._sizes = iter(sizes)

    def move(self, images: Tensor, values: Tensor, gradient: Tensor, ball: Ball) -> Tensor:
        """One step of the next size."""
        return ball.step(images, gradient, next(self._sizes))


class MomentumUpdate(Update):
    """FixedSteps along a decaying sum of gradients, each scaled to unit L1 norm (Dong et al. 2018, eq. 6 and 7).

    Args:
        size: of each step, in units of eps.
        decay: of the sum.
    """

    pools: ClassVar[int] = 1

    def __init__(self, size: float, decay: float) -> None:
        self._size = size
        self._decay = decay
        self._sum: Tensor | None = None

    def move(self, images: Tensor, values: Tensor, gradient: Tensor, ball: Ball) -> Tensor:
        """Adds the gradient to the sum, and takes a step along it."""
        if self._sum is None:
            self._sum = torch.zeros_like(images)
        length = gradient.flatten(1).abs().sum(1).clamp_min(torch.finfo(gradient.dtype).tiny)
        self._sum = self._decay * self._sum + gradient / _per_image(length, gradient)
        return ball.step(images, self._sum, self._size)


class AutoPGDUpdate(Update):
    """Auto-PGD (Croce and Hein 2020, arXiv 2003.01690, algorithm 1).

    FixedSteps of 2 eps with momentum are halved, image by image, where they no longer pay; the search then goes on
    from the best point. The second condition for halving, that the best score has not risen, is not asked at
    the first checkpoint, as in the paper's code.

    Args:
        steps: how many steps there will be; the checkpoints are spread over them.
    """

    pools: ClassVar[int] = 3

    RISE = 0.75
    """Share of steps that must have risen since the last checkpoint."""

    MOMENTUM = 0.75
    """Weight of the new direction against the last one."""

    def __init__(self, steps: int) -> None:
        self._checkpoints = checkpoints(steps)
        self._step = 0
        self._window = 0
        self._last: tuple[Tensor, Tensor] | None = None

    def _begin(self, clean: Tensor) -> None:
        count, device = len(clean), clean.device
        self._sizes = torch.full((count,), 2.0, device=device)
        self._rises = torch.zeros(count, device=device)
        self._best = (clean, clean, torch.full((count,), -torch.inf, device=device))
        self._best_then = self._best[2]
        self._halved = torch.zeros(count, dtype=torch.bool, device=device)

    def move(self, images: Tensor, values: Tensor, gradient: Tensor, ball: Ball) -> Tensor:
        """A step with momentum, after a look back if a checkpoint is reached."""
        if self._step == 0:
            self._begin(ball.clean)
        best_images, best_gradient, best_values = self._best
        better = values > best_values
        pick = _per_image(better, images)
        self._best = (
            torch.where(pick, images, best_images),
            torch.where(pick, gradient, best_gradient),
            torch.where(better, values, best_values),
        )
        before = images
        if self._last is not None:
            before = self._last[0]
            self._rises += values > self._last[1]
            self._window += 1
        if self._step in self._checkpoints:
            images, values, gradient = self._look_back(images, values, gradient)
        self._last = (images, values)
        moved = ball.step(images, gradient, _per_image(self._sizes, images))
        if self._step:
            momentum = self.MOMENTUM * (moved - images) + (1 - self.MOMENTUM) * (images - before)
            moved = ball.project(images + momentum)
        self._step += 1
        return moved

    def _look_back(self, images: Tensor, values: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Halves the steps of the images that made no progress, and takes those back to their best point."""
        best_images, best_gradient, best_values = self._best
        stuck = self._rises < self.RISE * self._window
        stale = ~self._halved & (best_values <= self._best_then)
        halve = stuck | stale
        self._sizes = torch.where(halve, self._sizes / 2, self._sizes)
        self._halved, self._best_then = halve, best_values
        self._rises = torch.zeros_like(self._rises)
        self._window = 0
        back = _per_image(halve, images)
        return (
            torch.where(back, best_images, images),
            torch.where(halve, best_values, values),
            torch.where(back, best_gradient, gradient),
        )


def checkpoints(steps: int) -> set[int]:
    """The steps at which Auto-PGD looks back: at shares 0.22, 0.41, ... of all, ever closer together."""
    shares = [0, 22]  # in percent: integers, or rounding would push a checkpoint to the step after
    while shares[-1] < 100:
        shares.append(shares[-1] + max(shares[-1] - shares[-2] - 3, 6))
    return {-(-share * steps // 100) for share in shares[1:] if share <= 100}


def _per_image(values: Tensor, like: Tensor) -> Tensor:
    return values.view(-1, *[1] * (like.dim() - 1))
