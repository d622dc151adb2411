"""Transforms of the images before the embedding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, cast

from torch import Tensor

from benchmark.core.embedder import Embedder
from benchmark.core.parameters import Parameters
from benchmark.models import Member
from defenses.base import DEFENSES, Batch, Defense, InnerMaximiser, MemberFactory, Range
from defenses.transforms import TRANSFORMS, Applied, TransformSpec


class Transformed(Embedder):
    """Embeds a transform of each image; a random transform makes new draws in each forward pass.

    Args:
        member: embeds the transformed images.
        applied: applies the transform, and holds what it keeps of the training images.
        straight_through: whether to give the transform the gradient of its stand-in (BPDA).
    """

    def __init__(self, member: Member, applied: Applied, straight_through: bool = False) -> None:
        super().__init__()
        self.member = member
        self.applied = applied
        self.randomised = applied.transform.randomised
        self._straight_through = straight_through

    @property
    def members(self) -> Sequence[Embedder]:
        """The one member that embeds the transformed images."""
        return [self.member]

    def differentiable(self) -> Embedder:
        """Returns itself, or a copy with the identity's gradient if the transform is not differentiable."""
        if self.applied.transform.differentiable or self._straight_through:
            return self
        return Transformed(self.member, self.applied, straight_through=True)

    @property
    def has_stand_in(self) -> bool:
        """Whether the transform has one."""
        return self.applied.transform.has_stand_in or self.member.has_stand_in

    def forward(self, images: Tensor) -> Tensor:
        """Embeds images, shape (n, C, H, W) in [0, 1], as unit vectors, shape (n, d)."""
        transform = self.applied.straight_through if self._straight_through else self.applied
        embeddings: Tensor = self.member(transform(images))
        return embeddings


@DEFENSES.register("random_transforms")
class RandomTransforms(Defense):
    """Transforms images before they are embedded: random resizing and padding, or another transform.

    The default is that of Xie et al. 2018 (arXiv 1711.01991). Each transform's own file gives its source and
    how it was adapted. Random transforms make new draws in each forward pass, for each image of a batch;
    attacks then average gradients over EOT samples, and take the gradient of a stand-in, mostly the identity,
    through a transform that is not differentiable (BPDA). That attack broke the originals of Xie et al. and
    Guo et al. (Athalye et al. 2018, arXiv 1802.00420): unless a row shows otherwise, a transform alone is no
    defense.

    Attributes:
        transform: spec of the transform: `jpeg`, `resize_pad[smallest=0.8]`, ...
        train: images that the member is trained on: "clean", as vanilla, which is the setting of Xie et al.,
            or "transformed", with their own draws, as in Guo et al. 2018 and Raff et al. 2019.
    """

    tunable: ClassVar[Mapping[str, Range | tuple[Any, ...]]] = {
        "transform": (
            "resize_pad",
            "resize_pad[smallest=0.7]",
            "jpeg",
            "bit_depth",
            "total_variation",
            "quilting",
            "barrage",
        ),
        "train": ("clean", "transformed"),
    }

    transform: TransformSpec = "resize_pad"
    train: Literal["clean", "transformed"] = "clean"

    def parts(self) -> list[Parameters]:
        """Lists the defense and its transform."""
        return [self, *TRANSFORMS.build(self.transform).parts()]

    def build(self, make_member: MemberFactory, labels: Tensor) -> Transformed:
        """Builds one plain member, wrapped to embed transformed images."""
        return Transformed(make_member(), TRANSFORMS.build(self.transform).applied())

    def loss(self, model: Embedder, batch: Batch, attack: InnerMaximiser) -> Tensor:
        """Computes the loss on the clean or the transformed batch."""
        transformed = cast("Transformed", model)
        member = transformed.member
        transformed.applied.learn(batch.images)
        embeddings = (transformed if self.train == "transformed" else member)(batch.images)
        return member.loss(embeddings, batch.labels)
