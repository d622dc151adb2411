"""FARE: adversarial fine-tuning without labels, from a trained model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, cast

from pydantic import Field
from torch import Tensor

from benchmark.core.embedder import Embedder
from defenses.base import DEFENSES, Batch, Defense, InnerMaximiser, MemberFactory, Range
from defenses.teacher import WithTeacher


@DEFENSES.register("fare")
class FARE(Defense):
    """Label-free adversarial fine-tuning, after FARE (Schlarmann et al., ICML 2024, arXiv 2402.12336, eq. 3).

    Starts from the trained `vanilla` model of the same cell, f_T, and minimizes

        mean over the batch of max_{x'} ||f(x') - f_T(x)||^2

    so that every image in the ball is embedded where the original model embeds the clean image. No label is
    used. From the paper: the formula, the frozen original model. Adapted: embeddings are unit vectors, where
    the paper's are CLIP's; the attack is the benchmark's, with a random start. The proxies of the training
    loss are not used and not trained. `clean_weight` is from the authors' code, where it is 0 too.

    Attributes:
        clean_weight: weight of the same distance at the clean image, in [0, 1); the adversarial one has the
            rest. The term is not in the paper.
    """

    needs: ClassVar[tuple[str, ...]] = ("vanilla",)
    tunable: ClassVar[Any] = {"clean_weight": Range(0.0, 0.5)}

    clean_weight: float = Field(default=0.0, ge=0, lt=1)

    def build(  # type: ignore[override]
        self, make_member: MemberFactory, labels: Tensor, trained: Mapping[str, Embedder]
    ) -> Embedder:
        """Builds a student with the teacher's weights beside the teacher."""
        student, teacher = make_member(), trained["vanilla"]
        student.load_state_dict(teacher.state_dict())
        return WithTeacher(student, teacher)

    def loss(self, model: Embedder, batch: Batch, attack: InnerMaximiser) -> Tensor:
        """Computes the mean squared distance of the student's embeddings from the teacher's clean ones."""
        model = cast("WithTeacher", model)
        targets = model.targets(batch.images)

        def distance(images: Tensor) -> Tensor:
            return (model.student(images) - targets).square().sum(1)

        robust = distance(attack(distance, batch.images, model.student)).mean()
        if not self.clean_weight:
            return robust
        clean = distance(batch.images).mean()
        return (1 - self.clean_weight) * robust + self.clean_weight * clean
