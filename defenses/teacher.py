"""A model in training beside the trained model that it learns from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from benchmark.core.embedder import Embedder
from benchmark.models import Member, frozen


class WithTeacher(Embedder):
    """A student that is trained and embeds, and a trained teacher that stays as it is.

    Args:
        student: the member that is trained.
        teacher: the trained model, in evaluation mode and frozen.
    """

    only_parts: ClassVar[tuple[str, ...]] = ("student",)

    def __init__(self, student: Member, teacher: Embedder) -> None:
        super().__init__()
        self.student = student
        self.teacher = teacher

    @property
    def members(self) -> Sequence[Member]:
        """The student, which alone embeds."""
        return [self.student]

    def forward(self, images: Tensor) -> Tensor:
        """Embeds images, shape (n, C, H, W) in [0, 1], as unit vectors, shape (n, d)."""
        embeddings: Tensor = self.student(images)
        return embeddings

    def targets(self, images: Tensor) -> Tensor:
        """Embeds clean images as the teacher does, shape (n, d), detached."""
        with frozen(self.teacher), torch.no_grad():
            embeddings: Tensor = self.teacher(images)
        return embeddings
