"""Image quilting."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field, PositiveInt, model_validator
from torch import Tensor

from benchmark.core.transfer import to_device
from defenses.stored import Stored
from defenses.transforms.base import TRANSFORMS, Applied, Transform
from defenses.transforms.seams import join

FROM_EACH = 16
"""Patches that are taken from a training image."""

SOFT = 32
"""Nearest patches that the stand-in for gradients chooses among."""

TEMPERATURE = 0.3
"""Divisor of their squared distances before the softmax, in units of the mean of these."""

CHUNK = 2**22
"""Distances between patches that are computed at a time."""


def nearest(patches: Tensor, stored: Tensor, count: int) -> Tensor:
    """Finds the stored patches with the smallest Euclidean distances.

    Args:
        patches: shape (m, values).
        stored: shape (s, values).
        count: number of patches to find, at most s.

    Returns:
        Indices of stored patches, int64, shape (m, count), in no particular order.
    """
    squares = stored.square().sum(1)
    found = [
        torch.addmm(squares, part, stored.t(), alpha=-2).topk(count, 1, largest=False, sorted=False).indices
        for part in patches.split(max(1, CHUNK // len(stored)))
    ]
    return torch.cat(found)


def soft_choice(patches: Tensor, stored: Tensor) -> Tensor:
    """Computes the mean of the nearest stored patches, weighted by a softmax over their squared distances.

    Args:
        patches: shape (m, values).
        stored: shape (s, values).

    Returns:
        Shape (m, values), with a gradient with respect to `patches`.
    """
    candidates = stored[nearest(patches.detach(), stored, min(SOFT, len(stored)))]
    distances = (patches.unsqueeze(1) - candidates).square().sum(2)
    scale = TEMPERATURE * distances.detach().mean(1, keepdim=True).clamp_min(1e-3)
    return (torch.softmax(-distances / scale, 1).unsqueeze(2) * candidates).sum(1)


@TRANSFORMS.register("quilting")
class Quilting(Transform):
    """Image quilting (Guo et al. 2018, arXiv 1711.00117, section 4; Efros & Freeman 2001).

    The image is divided into overlapping square patches. Each is replaced by one of its nearest patches of
    clean training images, drawn uniformly, and the patches are joined along the seams where they differ
    least. The gradient is zero almost everywhere. Attacks take that of a soft choice: each patch is the mean
    of its 32 nearest, weighted by a softmax over their distances. On classes that are neither trained nor
    tested on, it lowered R@1 from 95 % to 85 %; the identity's gradient, which broke the original, to 88 %.

    The training patches are part of the model: they are taken at random positions from the clean training
    images of the first batches, 16 from each image, until `stored` is reached. (Before the first step there
    are none, and noise takes their place.) The original stores a million, of ImageNet, and finds neighbors
    approximately; here the search is exact. In some of its experiments it takes the nearest patch alone,
    which would be deterministic. Seams are cut first within rows of patches and then between the rows, all
    images at once, where the original adds patch by patch. Images are padded at the right and at the bottom,
    by their last pixels, to the next size that patches fill.

    Attributes:
        patch: height and width of a patch, in pixels; the original's.
        overlap: pixels that neighboring patches share, at most half of a patch; in the original's code it is
            half, rounded down.
        neighbours: number of nearest patches to draw from; the original's.
        stored: number of training patches to keep.
    """

    randomised: ClassVar[bool] = True
    differentiable: ClassVar[bool] = False
    stand_in: ClassVar[str] = "soft"

    patch: int = Field(default=5, ge=2, le=64)
    overlap: PositiveInt = 2
    neighbours: int = Field(default=10, ge=2, le=1000)
    stored: PositiveInt = 2048

    @model_validator(mode="after")
    def _possible(self) -> Quilting:
        if self.overlap > self.patch // 2:
            raise ValueError(
                f"overlap={self.overlap} must be at most {self.patch // 2}, half of patch={self.patch}"
            )
        if self.stored < self.neighbours:
            raise ValueError(f"stored={self.stored} must be at least neighbours={self.neighbours}")
        return self

    def applied(self) -> Quilted:
        """Builds the part of a model that holds the training patches."""
        return Quilted(self)

    def apply(self, images: Tensor) -> Tensor:
        """Raises NotImplementedError: without training patches nothing can be applied; see `applied`."""
        raise NotImplementedError("quilting keeps training patches; use the module that `applied` builds")

    def padded(self, images: Tensor) -> Tensor:
        """Pads images, shape (n, C, H, W), at the right and at the bottom so that patches fill them."""
        step = self.patch - self.overlap
        missing = [
            self.patch + step * max(0, -((self.patch - side) // step)) - side for side in images.shape[2:]
        ]
        return F.pad(images, (0, missing[1], 0, missing[0]), mode="replicate")


class Quilted(Stored, Applied):
    """Quilts images from stored training patches.

    Args:
        transform: the parameters.

    Attributes:
        stored: the patches, shape (at most `transform.stored`, C * patch * patch); part of the checkpoint.
    """

    def __init__(self, transform: Quilting) -> None:
        super().__init__(transform)
        self.quilting = transform
        self.capacity = transform.stored

    def learn(self, images: Tensor) -> None:
        """Stores patches of clean training images, shape (n, C, H, W), as long as there is room for more."""
        if not self.free:
            return
        size, count = self.quilting.patch, len(images) * FROM_EACH
        windows = self.quilting.padded(images.detach()).unfold(2, size, 1).unfold(3, size, 1)
        # Drawn on the CPU, so that a run on a GPU takes the same patches.
        rows = torch.arange(len(images)).repeat_interleave(FROM_EACH)
        above, left = (torch.randint(windows.shape[axis], (count,)) for axis in (2, 3))
        at = [to_device(index, images.device) for index in (rows, above, left)]
        self.store(windows[at[0], :, at[1], at[2]].flatten(1))

    def forward(self, images: Tensor) -> Tensor:
        """Quilts images, shape (n, C, H, W) in [0, 1], each with draws of its own."""
        return self._quilt(images, soft=False)

    def straight_through(self, images: Tensor) -> Tensor:
        """Does the same, with the gradient of a soft choice among near patches."""
        return self._quilt(images, soft=True)

    def _quilt(self, images: Tensor, soft: bool) -> Tensor:
        transform = self.quilting
        size, overlap = transform.patch, transform.overlap
        padded = transform.padded(images)
        sides = [(side - overlap) // (size - overlap) for side in padded.shape[2:]]
        patches = F.unfold(padded, size, stride=size - overlap).movedim(1, 2)  # (n, positions, values)
        stored = self._patches(patches)
        count = min(transform.neighbours, len(stored))
        near = nearest(patches.detach().flatten(0, 1), stored, count)
        drawn = to_device(torch.randint(count, (len(near), 1)), images.device)
        chosen = stored[near.gather(1, drawn).squeeze(1)]
        if soft:
            mixed = soft_choice(patches.flatten(0, 1), stored)
            chosen = chosen + (mixed - mixed.detach())
        tiles = chosen.view(-1, sides[1], images.shape[1], size, size)  # all rows of all images
        strips = join(tiles, overlap).unflatten(0, (len(images), sides[0]))
        quilted = join(strips.transpose(-1, -2), overlap).transpose(-1, -2)
        return quilted[..., : images.shape[2], : images.shape[3]]

    def _patches(self, like: Tensor) -> Tensor:
        if len(self.stored):
            return self.stored.to(like.dtype)
        return torch.rand(self.quilting.neighbours, like.shape[2]).to(like)
