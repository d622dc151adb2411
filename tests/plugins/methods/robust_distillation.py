"""Adversarially robust distillation: a student learns the embeddings of a robust teacher."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from benchmark.core.embedder import Embedder
from benchmark.models import frozen
from defenses import DEFENSES, Batch, Defense, InnerMaximiser, MemberFactory, Range


class Distilled(Embedder):
    """A student that embeds, beside its teacher; `steps` counts the steps of the training."""

    def __init__(self, student: Embedder, teacher: Embedder) -> None:
        super().__init__()
        self.parts = nn.ModuleDict({"student": student, "teacher": teacher})
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    @property
    def members(self) -> list[Any]:
        """The student."""
        return [self.parts["student"]]

    def forward(self, images: Tensor) -> Tensor:
        """Embeds images, shape (n, C, H, W) in [0, 1], as unit vectors, shape (n, d)."""
        embeddings: Tensor = self.parts["student"](images)
        return embeddings


@DEFENSES.register("robust_distillation")
class RobustDistillation(Defense):
    """Robust distillation, after ARD (Goldblum et al. 2020, arXiv 1905.09747), on embeddings.

    The images are attacked away from the teacher's clean embedding, and the student learns to embed them
    there: (1 - share) L(f(x), y) + share |f(x') - f_T(x)|^2. The teacher is the trained `pgd_at` model.

    Attributes:
        share: weight of the distillation, in [0, 1].
    """

    needs: ClassVar[tuple[str, ...]] = ("pgd_at",)
    tunable: ClassVar[Any] = {"share": Range(0.1, 1.0)}

    share: float = Field(default=0.5, ge=0, le=1)

    def build(  # type: ignore[override]
        self, make_member: MemberFactory, labels: Tensor, trained: Mapping[str, Embedder]
    ) -> Embedder:
        """Builds a new student beside the teacher."""
        return Distilled(make_member(), trained["pgd_at"])

    def loss(self, model: Any, batch: Batch, attack: InnerMaximiser) -> Tensor:
        """Computes the loss of clean images and the distance of adversarial ones to the teacher."""
        (student,) = model.members
        with frozen(model.parts["teacher"]), torch.no_grad():
            targets = model.parts["teacher"](batch.images)

        def distance(images: Tensor) -> Tensor:
            return (student(images) - targets).square().sum(1)

        adversarial = attack(distance, batch.images, student)
        model.get_buffer("steps").add_(1)
        clean = student.loss(student(batch.images), batch.labels)
        return (1 - self.share) * clean + self.share * distance(adversarial).mean()
