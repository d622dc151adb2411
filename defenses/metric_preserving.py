"""The metric-preserving network of Bai et al."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, cast

import torch
from torch import Tensor

from benchmark.core.embedder import Embedder
from benchmark.models import Member
from defenses.base import DEFENSES, Batch, Defense, InnerMaximiser, MemberFactory, Range
from defenses.teacher import WithTeacher
from defenses.triplets import embed


def class_means(embeddings: Tensor, labels: Tensor) -> Tensor:
    """Computes for each image the mean embedding of its class in the batch, itself included.

    Args:
        embeddings: shape (n, d).
        labels: classes, shape (n,).

    Returns:
        Means, shape (n, d); not scaled to unit length.
    """
    same = (labels.unsqueeze(1) == labels).to(embeddings.dtype)
    return same @ embeddings / same.sum(1, keepdim=True)


@DEFENSES.register("metric_preserving")
class MetricPreserving(Defense):
    """Metric-preserving network (Bai et al. 2020, IEEE TPAMI, arXiv 1901.10650).

    The paper's metric attack changes an image so that its squared distances to reference images of its class
    become larger. Its defense trains a model f_0 on the clean training set, makes an adversarial version of
    that set by the metric attack on f_0, and trains a new model on both sets together:

        x' = argmax of the mean over the clean images x_j of its class of |f_0(x') - f_0(x_j)|^2
        loss: L on the batch of all x and x'

    As f_0 is fixed, so is the adversarial set: the images do not follow the model in training, and an attack
    on that model itself, as in the evaluation here, is one that it was not trained on.

    A reconstruction from a description of the method, not from its equations. f_0 is the trained `vanilla`
    model of the same cell. Each batch holds clean images and their adversarial versions in equal numbers,
    which are made anew, as the batch is. References are the clean images of the class in the batch, the image
    itself included, since not every batch has others; which ones the paper takes in training is not known
    here. The attack is the benchmark's, with a random start (an image that is its own only reference has no
    gradient); the authors' code has FGSM and its iterated and momentum variants, of eps 5/255, step 1/255.

    Attributes:
        attacked: the model that the images are made on. "original": f_0, as in the paper; "current": the
            model in training, which makes it adversarial training by the metric attack. f_0 is then not
            trained.
    """

    tunable: ClassVar[Mapping[str, Range | tuple[Any, ...]]] = {"attacked": ("original", "current")}

    attacked: Literal["original", "current"] = "original"

    @property
    def needs(self) -> tuple[str, ...]:  # type: ignore[override]
        """The original model, where that is attacked."""
        return ("vanilla",) if self.attacked == "original" else ()

    def build(
        self, make_member: MemberFactory, labels: Tensor, trained: Mapping[str, Embedder] | None = None
    ) -> Embedder:
        """Builds a new member, beside the original model where that is attacked."""
        member = make_member()
        return member if not trained else WithTeacher(member, trained["vanilla"])

    def loss(self, model: Embedder, batch: Batch, attack: InnerMaximiser) -> Tensor:
        """Computes the training loss on clean and adversarial images, as one batch."""
        if isinstance(model, WithTeacher):
            member, source, clean = model.student, model.teacher, model.targets(batch.images)
        else:
            member = source = cast("Member", model)
            clean = embed(member, batch.images)
        means = class_means(clean, batch.labels)

        def distance(images: Tensor) -> Tensor:
            # The mean squared distance of unit vectors is affine in the cosine to their mean.
            return 2 - 2 * (source(images) * means).sum(1)

        adversarial = attack(distance, batch.images, source)
        embeddings = member(torch.cat([batch.images, adversarial]))
        return member.loss(embeddings, batch.labels.repeat(2))
