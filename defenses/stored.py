"""Rows of training data that a model keeps, as part of its checkpoint."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class Stored(nn.Module):
    """A module that keeps the first rows that it is given, such as images or patches, up to its capacity.

    To be named before the other base class, whose arguments it passes on.

    Attributes:
        stored: the rows, shape (at most `capacity`, ...); part of the checkpoint. Their shape is not known
            before the first is stored.
        capacity: maximum number of rows.
    """

    stored: Tensor
    capacity: int

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.register_buffer("stored", torch.zeros(0))

    @property
    def free(self) -> int:
        """How many more rows fit."""
        return self.capacity - len(self.stored)

    def store(self, rows: Tensor) -> None:
        """Stores rows, shape (n, ...), from the first on, until the capacity is reached."""
        new = rows[: self.free].detach()
        if len(new):
            kept = torch.cat([self.stored, new]) if len(self.stored) else new
            self.stored = kept.clone(memory_format=torch.contiguous_format)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        stored = state_dict.get(prefix + "stored")
        if stored is not None and stored.shape != self.stored.shape:
            self.stored = self.stored.new_zeros(stored.shape)
        super()._load_from_state_dict(state_dict, prefix, *rest)
