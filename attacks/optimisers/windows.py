"""The windows that the Square attack changes, and the values it writes into them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from attacks.geometry import Ball, per_image, where_per_image

TINY = 1e-12


class Windows:
    """Proposes changes of one batch: a start, then one square window of each image at a time.

    The caller draws all random numbers, in [-1, 1], one row for each image.

    Args:
        ball: the balls of the batch.

    Attributes:
        min_side: smallest side of a window, in pixels.
        odd_sides: whether sides are odd numbers.
    """

    min_side: ClassVar[int] = 1
    odd_sides: ClassVar[bool] = False

    def __init__(self, ball: Ball) -> None:
        self.ball = ball
        self.channels, self.height, self.width = ball.clean.shape[1:]

    @property
    def start_draws(self) -> int:
        """Number of random numbers for the start of one image."""
        raise NotImplementedError

    @property
    def draws(self) -> int:
        """Number of random numbers for one window of one image."""
        raise NotImplementedError

    def start(self, draws: Tensor) -> Tensor:
        """Returns the first images, shape (b, C, H, W), from numbers of shape (b, start_draws)."""
        raise NotImplementedError

    def propose(self, images: Tensor, side: int, draws: Tensor) -> Tensor:
        """Returns the images with one window of each changed, from numbers of shape (b, draws)."""
        raise NotImplementedError

    def side(self, fraction: float) -> int:
        """Returns the side of a window that covers a fraction of the pixels, limited to the image's sides."""
        max_side = min(self.height, self.width)
        side = min(max(round((fraction * self.height * self.width) ** 0.5), self.min_side), max_side)
        if self.odd_sides and side % 2 == 0:
            side += 1 if side < max_side else -1
        return side

    def pixels(self, side: int, draws: Tensor) -> Tensor:
        """Returns flat indices of the pixels of one window per image, with corners from numbers (b, 2).

        Returns:
            Indices into the H * W pixels, shape (b, C, side * side), the same for all channels.
        """
        corners = torch.tensor([self.height - side + 1, self.width - side + 1], device=draws.device)
        corner = ((draws + 1) / 2 * corners).long().minimum(corners - 1)
        offsets = torch.arange(side, device=draws.device)
        rows, columns = corner[:, :1] + offsets, corner[:, 1:] + offsets
        flat = (rows * self.width).unsqueeze(2) + columns.unsqueeze(1)
        return flat.flatten(1).unsqueeze(1).expand(-1, self.channels, -1)


class Squares(Windows):
    """L_inf: vertical stripes, then squares, of +eps or -eps in each channel (algorithm 2).

    A square that would change nothing gets the opposite signs; the paper's code draws until something
    changes.
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
        """Returns vertical stripes."""
        signs = draws.view(-1, self.channels, 1, self.width)
        return torch.where(signs >= 0, self._high, self._low)

    def propose(self, images: Tensor, side: int, draws: Tensor) -> Tensor:
        """Changes a square to one sign in each channel."""
        pixels = self.pixels(side, draws[:, :2])
        positive = (draws[:, 2:] >= 0).unsqueeze(2)
        before, low, high = (x.flatten(2).gather(2, pixels) for x in (images, self._low, self._high))
        after = torch.where(positive, high, low)
        unchanged = (after == before).flatten(1).all(1)
        after = where_per_image(unchanged, torch.where(positive, low, high), after)
        return images.flatten(2).scatter(2, pixels, after).view_as(images)


class Bumps(Windows):
    """L2: bumps whose norm is taken from a second window and from the unused budget (algorithm 3)."""

    min_side: ClassVar[int] = 3
    odd_sides: ClassVar[bool] = True

    def __init__(self, ball: Ball) -> None:
        super().__init__(ball)
        self._radius = ball.eps * (1 - 1e-6)  # slack for the rounding of norms
        self._tile = max(min(self.height, self.width) // 5, 1)
        self._rows, self._columns = self.height // self._tile, self.width // self._tile
        self._kernels: dict[int, Tensor] = {}

    @property
    def start_draws(self) -> int:
        """A direction for each tile, and a sign for each tile and channel."""
        return self._rows * self._columns * (1 + self.channels)

    @property
    def draws(self) -> int:
        """Two corners, a direction, and a sign for each channel."""
        return 5 + self.channels

    def start(self, draws: Tensor) -> Tensor:
        """Returns a tiling with bumps, five by five where the sides allow it, scaled to the radius."""
        signs = draws.view(-1, 1 + self.channels, self._rows, self._columns) >= 0
        tiles = self._bumps(self._tile)[signs[:, 0].long()].unsqueeze(1)
        tiles = torch.where(signs[:, 1:, ..., None, None], tiles, -tiles)
        height, width = self._rows * self._tile, self._columns * self._tile
        delta = tiles.transpose(3, 4).reshape(-1, self.channels, height, width)
        top, left = (self.height - height) // 2, (self.width - width) // 2
        delta = F.pad(delta, (left, self.width - width - left, top, self.height - height - top))
        length = per_image(delta.flatten(1).norm(dim=1), delta)
        return (self.ball.clean + self._radius * delta / length).clamp(0, 1)

    def propose(self, images: Tensor, side: int, draws: Tensor) -> Tensor:
        """Adds a bump to the first window, with the norm of the second, which is set to zero."""
        delta = (images - self.ball.clean).flatten(2)
        # Negative where rounding has left the ball, which this query then corrects.
        unused = (self._radius**2 - delta.flatten(1).norm(dim=1).square()) / self.channels
        first, second = self.pixels(side, draws[:, :2]), self.pixels(side, draws[:, 2:4])
        first_delta = delta.gather(2, first)
        delta.scatter_(2, first, 0.0)
        second_delta = delta.gather(2, second)  # pixels in both windows are counted in the first
        delta.scatter_(2, second, 0.0)
        norm = first_delta.norm(dim=2, keepdim=True)
        budget = norm.square() + second_delta.norm(dim=2, keepdim=True).square() + per_image(unused, delta)
        budget = budget.clamp_min(0).sqrt()
        bump = self._bumps(side)[(draws[:, 4] >= 0).long()].flatten(1).unsqueeze(1)
        bump = torch.where((draws[:, 5:] >= 0).unsqueeze(2), bump, -bump) + first_delta / norm.clamp_min(TINY)
        bump = bump * (budget / bump.norm(dim=2, keepdim=True).clamp_min(TINY))
        delta.scatter_(2, first, bump)
        return delta.view_as(images).add_(self.ball.clean).clamp_(0, 1)

    def _bumps(self, side: int) -> Tensor:
        if side not in self._kernels:
            kernel = bump(side).to(self.ball.clean)
            self._kernels[side] = torch.stack([kernel, kernel.t()])
        return self._kernels[side]


def bump(side: int) -> Tensor:
    """Returns the L2 update of equation 2: two halves of opposite sign, each decreasing from its center.

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
    """Returns the sum of 1 / (n + 1 - k)^2 over k = 0, ..., n - d, d the L_inf distance from the center."""
    n = max(height, width) // 2
    rows = (torch.arange(height) - height // 2).abs()
    columns = (torch.arange(width) - width // 2).abs()
    distance = torch.maximum(rows.unsqueeze(1), columns)
    terms = 1 / torch.arange(1, n + 2).square()
    sums = terms.flip(0).cumsum(0).flip(0)  # from the d-th term to the last
    return sums[distance]


WINDOWS: Mapping[str, type[Windows]] = {"linf": Squares, "l2": Bumps}
"""The windows of each norm."""
