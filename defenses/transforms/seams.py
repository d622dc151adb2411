"""Joins overlapping tiles along the cheapest seams."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def seams(costs: Tensor) -> Tensor:
    """Finds in each matrix the cheapest path from its first to its last row, by dynamic programming.

    A path takes one column of each row and moves by at most one column between rows. Of equally cheap ones it
    is any.

    Args:
        costs: shape (m, rows, columns).

    Returns:
        Columns of the paths, int64, shape (m, rows).
    """
    rows, columns = costs.shape[1:]
    total, moves = costs[:, 0], []
    for row in range(1, rows):
        padded = F.pad(total, (1, 1), value=torch.inf)
        cheapest, move = torch.stack([padded[:, shift : shift + columns] for shift in range(3)]).min(0)
        total = costs[:, row] + cheapest
        moves.append(move - 1)
    path = [total.argmin(1, keepdim=True)]
    for move in reversed(moves):
        path.append(path[-1] + move.gather(1, path[-1]))
    return torch.cat(path[::-1], 1)


def join(tiles: Tensor, overlap: int) -> Tensor:
    """Joins tiles that overlap with their neighbors, each along the seam where the two differ least.

    The cost of a pixel is the squared difference of the two tiles there. From the seam on, the later tile is
    taken. (Efros & Freeman 2001, section 2.1: minimum error boundary cut.)

    Args:
        tiles: shape (m, k, C, rows, columns); the last columns of a tile lie over the first of the next.
        overlap: number of columns that two neighbors share, at least 1, at most half of a tile's.

    Returns:
        Shape (m, C, rows, k * (columns - overlap) + overlap).
    """
    step = tiles.shape[-1] - overlap
    before, after = tiles[:, :-1, ..., step:], tiles[:, 1:, ..., :overlap]
    parts = [tiles[:, :1, ..., :overlap]]
    if tiles.shape[1] > 1:
        costs = (before - after).square().sum(2)
        cut = seams(costs.flatten(0, 1)).view(*costs.shape[:3], 1).unsqueeze(2)
        later = torch.arange(overlap, device=tiles.device) >= cut
        parts.append(torch.where(later, after, before))
    joined = torch.cat([torch.cat(parts, 1), tiles[..., overlap:step]], -1)
    return torch.cat([joined.movedim(1, 3).flatten(3), tiles[:, -1, ..., step:]], -1)
