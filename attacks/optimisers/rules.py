"""Rules of moving: from an iterate, its score and its gradient to the next iterate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

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


class Rule:
    """How one batch moves from step to step; may keep what it has seen."""

    def move(self, images: Tensor, values: Tensor, gradient: Tensor) -> Tensor:
        """The next iterate.

        Args:
            images: where the batch is, shape (b, C, H, W).
            values: the score there, shape (b,).
            gradient: the score's gradient there, shape (b, C, H, W).
        """
        raise NotImplementedError


MakeRule = Callable[[Ball], Rule]
"""Makes the rule for a batch, once for each start."""


class Steps(Rule):
    """Steps of given sizes along the gradient.

    Args:
        ball: where the batch may move.
        sizes: of each step, in units of eps.
    """

    def __init__(self, ball: Ball, sizes: Sequence[float]) -> None:
        self._ball = ball
        self._sizes = iter(sizes)

    def move(self, images: Tensor, values: Tensor, gradient: Tensor) -> Tensor:
        """One step of the next size."""
        return self._ball.step(images, gradient, next(self._sizes))


class Momentum(Rule):
    """Steps along a decaying sum of gradients, each scaled to unit L1 norm (Dong et al. 2018, eq. 6 and 7).

    Args:
        ball: where the batch may move.
        size: of each step, in units of eps.
        decay: of the sum.
    """

    def __init__(self, ball: Ball, size: float, decay: float) -> None:
        self._ball = ball
        self._size = size
        self._decay = decay
        self._sum = torch.zeros_like(ball.clean)

    def move(self, images: Tensor, values: Tensor, gradient: Tensor) -> Tensor:
        """Adds the gradient to the sum, and takes a step along it."""
        length = gradient.flatten(1).abs().sum(1).clamp_min(torch.finfo(gradient.dtype).tiny)
        self._sum = self._decay * self._sum + gradient / _per_image(length, gradient)
        return self._ball.step(images, self._sum, self._size)


class Halving(Rule):
    """Auto-PGD (Croce and Hein 2020, arXiv 2003.01690, algorithm 1).

    Steps of 2 eps with momentum are halved, image by image, where they no longer pay; the search then goes on
    from the best point. The second condition for halving, that the best score has not risen, is not asked at
    the first checkpoint, as in the paper's code.

    Args:
        ball: where the batch may move.
        steps: how many steps there will be; the checkpoints are spread over them.
    """

    RISE = 0.75
    """Share of steps that must have risen since the last checkpoint."""

    MOMENTUM = 0.75
    """Weight of the new direction against the last one."""

    def __init__(self, ball: Ball, steps: int) -> None:
        count = len(ball.clean)
        device = ball.clean.device
        self._ball = ball
        self._checkpoints = checkpoints(steps)
        self._step = 0
        self._window = 0
        self._sizes = torch.full((count,), 2.0, device=device)
        self._rises = torch.zeros(count, device=device)
        self._last: tuple[Tensor, Tensor] | None = None
        self._best = (ball.clean, ball.clean, torch.full((count,), -torch.inf, device=device))
        self._best_then = self._best[2]
        self._halved = torch.zeros(count, dtype=torch.bool, device=device)

    def move(self, images: Tensor, values: Tensor, gradient: Tensor) -> Tensor:
        """A step with momentum, after a look back if a checkpoint is reached."""
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
        moved = self._ball.step(images, gradient, _per_image(self._sizes, images))
        if self._step:
            momentum = self.MOMENTUM * (moved - images) + (1 - self.MOMENTUM) * (images - before)
            moved = self._ball.project(images + momentum)
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
