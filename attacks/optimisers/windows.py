"""The windows that the Square attack changes, and what it writes into them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from attacks.optimisers.updates import Ball

TINY = 1e-12


class Windows:
    """How one batch is changed: a start, then one square window of each image at a time.

    Whatever is random comes as numbers in [-1, 1] from outside, a row for each image.

    Args:
        ball: where the batch may move.

    Attributes:
        least: smallest side of a window, in pixels.
        odd: whether sides are odd numbers.
    """

    least: ClassVar[int] = 1
    odd: ClassVar[bool] = False

    def __init__(self, ball: Ball) -> None:
        self.ball = ball
        self.channels, self.height, self.width = ball.clean.shape[1:]

    @property
    def start_draws(self) -> int:
        """How many random numbers an image's start takes."""
        raise NotImplementedError

    @property
    def draws(self) -> int:
        """How many random numbers an image's next window takes."""
        raise NotImplementedError

    def start(self, draws: Tensor) -> Tensor:
        """The first images, shape (b, C, H, W), from numbers of shape (b, start_draws)."""
        raise NotImplementedError

    def propose(self, images: Tensor, side: int, draws: Tensor) -> Tensor:
        """The images with one window of each changed, from numbers of shape (b, draws)."""
        raise NotImplementedError

    def side(self, share: float) -> int:
        """Side of a window that covers a share of the pixels, as far as it fits into the image."""
        fits = min(self.height, self.width)
        side = min(max(round((share * self.height * self.width) ** 0.5), self.least), fits)
        if self.odd and side % 2 == 0:
            side += 1 if side < fits else -1
        return side

    def places(self, side: int, draws: Tensor) -> Tensor:
        """Flat places of the pixels of a window of each image, its corner from numbers of shape (b, 2).

        Returns:
            Indices into the H * W pixels, shape (b, C, side * side), the same for all channels.
        """
        room = torch.tensor([self.height - side + 1, self.width - side + 1], device=draws.device)
        corner = ((draws + 1) / 2 * room).long().minimum(room - 1)
        within = torch.arange(side, device=draws.device)
        rows, columns = corner[:, :1] + within, corner[:, 1:] + within
        flat = (rows * self.width).unsqueeze(2) + columns.unsqueeze(1)
        return flat.flatten(1).unsqueeze(1).expand(-1, self.channels, -1)


class Squares(Windows):
    """L_inf: vertical stripes, then squares, of +eps or -eps in each channel (algorithm 2).

    A square that would change nothing has its signs turned; the paper's code draws until something changes.
    """

    def __init__(self, ball: Ball) -> None:
        super().__init__(ball)
        self._low, self._high = ball.project(ball.clean - ball.eps), ball.project(ball.clean + ball.eps)

    @property
    def start_draws(self) -> int:
        """A sign for each column of each channel."""
        return self.channels * self.width

    @property
    def draws(self) -> int:
        """A corner, and a sign for each channel."""
        return 2 + self.channels

    def start(self, draws: Tensor) -> Tensor:
        """Vertical stripes."""
        signs = draws.view(-1, self.channels, 1, self.width)
        return torch.where(signs >= 0, self._high, self._low)

    def propose(self, images: Tensor, side: int, draws: Tensor) -> Tensor:
        """A square of one sign in each channel."""
        places = self.places(side, draws[:, :2])
        upwards = (draws[:, 2:] >= 0).unsqueeze(2)
        before, low, high = (x.flatten(2).gather(2, places) for x in (images, self._low, self._high))
        after = torch.where(upwards, high, low)
        idle = (after == before).flatten(1).all(1).view(-1, 1, 1)
        after = torch.where(idle, torch.where(upwards, low, high), after)
        return images.flatten(2).scatter(2, places, after).view_as(images)


class Bumps(Windows):
    """L2: bumps that take their norm from another window and from what is unused (algorithm 3)."""

    least: ClassVar[int] = 3
    odd: ClassVar[bool] = True

    def __init__(self, ball: Ball) -> None:
        super().__init__(ball)
        self._radius = ball.eps * (1 - 1e-6)  # room for the rounding of norms
        self._tile = max(min(self.height, self.width) // 5, 1)
        self._rows, self._columns = self.height // self._tile, self.width // self._tile
        self._kernels: dict[int, Tensor] = {}

    @property
    def start_draws(self) -> int:
        """For each tile a direction, and a sign in each channel."""
        return self._rows * self._columns * (1 + self.channels)

    @property
    def draws(self) -> int:
        """Two corners, a direction, and a sign for each channel."""
        return 5 + self.channels

    def start(self, draws: Tensor) -> Tensor:
        """A tiling with bumps, five by five where the sides allow it, scaled to the radius."""
        signs = draws.view(-1, 1 + self.channels, self._rows, self._columns) >= 0
        tiles = self._bumps(self._tile)[signs[:, 0].long()].unsqueeze(1)
        tiles = torch.where(signs[:, 1:, ..., None, None], tiles, -tiles)
        high, wide = self._rows * self._tile, self._columns * self._tile
        delta = tiles.transpose(3, 4).reshape(-1, self.channels, high, wide)
        top, left = (self.height - high) // 2, (self.width - wide) // 2
        delta = F.pad(delta, (left, self.width - wide - left, top, self.height - high - top))
        length = delta.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
        return (self.ball.clean + self._radius * delta / length).clamp(0, 1)

    def propose(self, images: Tensor, side: int, draws: Tensor) -> Tensor:
        """A bump on top of the first window, paid for by emptying the second."""
        delta = (images - self.ball.clean).flatten(2)
        # Below zero where rounding has left the ball, which this query then makes up for.
        unused = (self._radius**2 - delta.flatten(1).norm(dim=1).square()) / self.channels
        first, second = self.places(side, draws[:, :2]), self.places(side, draws[:, 2:4])
        here = delta.gather(2, first)
        delta.scatter_(2, first, 0.0)
        there = delta.gather(2, second)  # what the windows share is counted in the first
        delta.scatter_(2, second, 0.0)
        norm = here.norm(dim=2, keepdim=True)
        budget = norm.square() + there.norm(dim=2, keepdim=True).square() + unused.view(-1, 1, 1)
        budget = budget.clamp_min(0).sqrt()
        bump = self._bumps(side)[(draws[:, 4] >= 0).long()].flatten(1).unsqueeze(1)
        bump = torch.where((draws[:, 5:] >= 0).unsqueeze(2), bump, -bump) + here / norm.clamp_min(TINY)
        bump = bump * (budget / bump.norm(dim=2, keepdim=True).clamp_min(TINY))
        delta.scatter_(2, first, bump)
        return delta.view_as(images).add_(self.ball.clean).clamp_(0, 1)

    def _bumps(self, side: int) -> Tensor:
        if side not in self._kernels:
            kernel = bump(side).to(self.ball.clean)
            self._kernels[side] = torch.stack([kernel, kernel.t()])
        return self._kernels[side]


def bump(side: int) -> Tensor:
    """The L2 update of equation 2: two halves of opposite sign, each falling off from its middle.

    Args:
        side: of the square, in pixels.

    Returns:
        Shape (side, side), of unit L2 norm, the upper half positive.
    """
    upper = _pyramid(side // 2, side)
    lower = _pyramid(side - side // 2, side)
    kernel = torch.cat([upper / upper.norm(), -lower / lower.norm()])
    return kernel / kernel.norm()


def _pyramid(height: int, width: int) -> Tensor:
    """Sum of 1 / (n + 1 - k)^2 over k = 0, ..., n - d, with d the distance from the middle along the axes."""
    n = max(height, width) // 2
    rows = (torch.arange(height) - height // 2).abs()
    columns = (torch.arange(width) - width // 2).abs()
    distance = torch.maximum(rows.unsqueeze(1), columns)
    terms = 1 / torch.arange(1, n + 2).square()
    sums = terms.flip(0).cumsum(0).flip(0)  # from the d-th term to the last
    return sums[distance]


WINDOWS: Mapping[str, type[Windows]] = {"linf": Squares, "l2": Bumps}
"""What is proposed in each norm."""
