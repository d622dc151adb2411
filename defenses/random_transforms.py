"""Transforms of the images at test time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, cast

from torch import Tensor

from benchmark.core.embedder import Embedder
from benchmark.core.parameters import Parameters
from benchmark.models import Member
from defenses import transforms  # the package: a model's identity then holds the source of every transform
from defenses.base import DEFENSES, Batch, Defense, InnerMaximiser, MemberFactory, Range


class Transformed(Embedder):
    """Embeds a transform of each image, with new draws at every pass if the transform makes any.

    Args:
        member: embeds the transformed images.
        transform: what is done to them.
        straight_through: whether a transform without a gradient of its own passes on the identity's (BPDA).
    """

    def __init__(
        self, member: Member, transform: transforms.Transform, straight_through: bool = False
    ) -> None:
        super().__init__()
        self.member = member
        self.transform = transform
        self.randomised = transform.randomised
        self._straight_through = straight_through

    @property
    def members(self) -> Sequence[Embedder]:
        """The one member behind the transform."""
        return [self.member]

    def differentiable(self) -> Embedder:
        """Itself, or the same with the identity's gradient where the transform has none."""
        if self.transform.differentiable or self._straight_through:
            return self
        return Transformed(self.member, self.transform, straight_through=True)

    def forward(self, images: Tensor) -> Tensor:
        """Embeds images, shape (n, C, H, W) in [0, 1], as unit vectors, shape (n, d)."""
        transform = self.transform.straight_through if self._straight_through else self.transform.apply
        embeddings: Tensor = self.member(transform(images))
        return embeddings


@DEFENSES.register("random_transforms")
class RandomTransforms(Defense):
    """Transforms of the images before they are embedded: random resizing and padding, or another.

    The default is that of Xie et al. 2018 (arXiv 1711.01991). Each transform's own file says where it comes
    from and how it was adapted. Random ones make new draws at every pass, for each image of a batch; attacks
    then average gradients over passes (EOT), and take the identity's gradient through what has none (BPDA).
    That attack broke the originals of Xie et al. and Guo et al. (Athalye et al. 2018, arXiv 1802.00420):
    unless a row shows otherwise, a transform alone is no defense.

    Attributes:
        transform: spec of what is done to the images: `jpeg`, `resize_pad[smallest=0.8]`, ...
        train: images that the member is trained on: "clean", as vanilla, which is the setting of Xie et al.,
            or "transformed", with draws of their own, as Guo et al. 2018 and Raff et al. 2019 have it.
    """

    tunable: ClassVar[Mapping[str, Range | tuple[Any, ...]]] = {
        "transform": (
            "resize_pad",
            "resize_pad[smallest=0.7]",
            "jpeg",
            "bit_depth",
            "total_variation",
            "barrage",
        ),
        "train": ("clean", "transformed"),
    }

    transform: transforms.TransformSpec = "resize_pad"
    train: Literal["clean", "transformed"] = "clean"

    def parts(self) -> list[Parameters]:
        """The defense and its transform."""
        return [self, *transforms.TRANSFORMS.build(self.transform).parts()]

    def build(self, make_member: MemberFactory, labels: Tensor) -> Transformed:
        """One member behind the transform."""
        return Transformed(make_member(), transforms.TRANSFORMS.build(self.transform))

    def loss(self, model: Embedder, batch: Batch, attack: InnerMaximiser) -> Tensor:
        """The loss on the batch, clean or transformed."""
        transformed = cast("Transformed", model)
        member = transformed.member
        embeddings = (transformed if self.train == "transformed" else member)(batch.images)
        return member.loss(embeddings, batch.labels)
