"""Random resizing and padding at test time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from benchmark.core.embedder import Embedder
from benchmark.models import Member
from defenses.base import DEFENSES, Batch, Defense, InnerMaximiser, MemberFactory


def resize_and_pad(images: Tensor, scales: Tensor, places: Tensor) -> Tensor:
    """Shrinks each image and puts it somewhere on a black canvas of the old size.

    Args:
        images: shape (n, C, H, W).
        scales: new size over old size, in (0, 1], shape (n,).
        places: where the shrunk image goes, 0 at the left or top edge and 1 at the right or bottom one,
            shape (n, 2) as (x, y).

    Returns:
        Images of the same shape, differentiable in `images`.
    """
    free = (1 - scales).unsqueeze(1)
    centre = (2 * places - 1) * free  # of the shrunk image, in coordinates from -1 to 1
    matrix = torch.zeros(len(images), 2, 3, device=images.device, dtype=images.dtype)
    matrix[:, 0, 0] = matrix[:, 1, 1] = 1 / scales
    matrix[:, :, 2] = -centre / scales.unsqueeze(1)
    grid = F.affine_grid(matrix, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="zeros", align_corners=False)


class RandomlyTransformed(Embedder):
    """Embeds a new random transform of each image at every pass.

    Args:
        member: embeds the transformed images.
        smallest: the smallest scale that is drawn.
    """

    randomised = True

    def __init__(self, member: Member, smallest: float) -> None:
        super().__init__()
        self.member = member
        self.smallest = smallest

    @property
    def members(self) -> Sequence[Embedder]:
        """The one member behind the transform."""
        return [self.member]

    def forward(self, images: Tensor) -> Tensor:
        """Embeds images, shape (n, C, H, W) in [0, 1], as unit vectors, shape (n, d)."""
        scales = 1 - (1 - self.smallest) * torch.rand(len(images)).to(images.device)
        places = torch.rand(len(images), 2).to(images.device)
        embeddings: Tensor = self.member(resize_and_pad(images, scales, places))
        return embeddings


@DEFENSES.register("random_transforms")
class RandomTransforms(Defense):
    """Random resizing and padding at test time (Xie et al. 2018, arXiv 1711.01991); trained as vanilla.

    The original enlarges images of 299 pixels to between 299 and 330 and pads them to 331. Here the canvas
    keeps the data set's size, since not every backbone takes another, and the image shrinks in that ratio.
    Each image of a batch gets a transform of its own. A randomised model: attacks average gradients over
    its passes, which is the attack that broke the original (EOT; Athalye et al. 2018, arXiv 1802.00420).

    Attributes:
        smallest: the smallest scale; the original's is 299 / 331.
    """

    smallest: float = Field(default=0.9, gt=0, le=1)

    def build(self, make_member: MemberFactory, labels: Tensor) -> RandomlyTransformed:
        """One member behind the transform."""
        return RandomlyTransformed(make_member(), self.smallest)

    def loss(self, model: Embedder, batch: Batch, attack: InnerMaximiser) -> Tensor:
        """The loss on the clean batch, without the transform."""
        member = cast("RandomlyTransformed", model).member
        return member.loss(member(batch.images), batch.labels)
