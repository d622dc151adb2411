"""What an attack is given: a model, the images to attack, and the budget."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from attacks.geometry import check_norm
from benchmark.core.embedder import Embedder


@dataclass
class Problem:
    """One attack's task: change `images` within the ball so that the embeddings go wrong.

    The clean pool is also the gallery: each image is a query against all the others.

    Attributes:
        embedder: the model, in evaluation mode, its parameters frozen.
        images: the clean pool, float32 in [0, 1], shape (n, C, H, W), on the device.
        labels: classes, contiguous from 0, shape (n,), on the device.
        ids: ids of the images, shape (n,), on the CPU.
        norm: "linf" or "l2".
        eps: radius of the ball in pixel space.
        seed: seed of random starts.
        eot: passes that a gradient is averaged over, for a randomised model; others take one.
        batch_size: images (times `eot`) in one pass.
        attacked: indices of the images that may be changed, ascending, shape (t,), on the device; all when
            not given.
        sources: other trained models of the same cell by their defense's spec, for transferred attacks.

    Raises:
        UsageError: for a norm that there is no ball of.
    """

    embedder: Embedder
    images: Tensor
    labels: Tensor
    ids: Tensor
    norm: str
    eps: float
    seed: int = 0
    eot: int = 1
    batch_size: int = 256
    attacked: Tensor | None = None
    sources: Mapping[str, Embedder] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_norm(self.norm)

    def __len__(self) -> int:
        return len(self.images)

    @cached_property
    def targets(self) -> Tensor:
        """Indices of the images that may be changed, shape (t,), on the device."""
        everything = torch.arange(len(self), device=self.images.device)
        return everything if self.attacked is None else self.attacked

    @property
    def passes(self) -> int:
        """Passes that each gradient is averaged over."""
        return self.eot if self.embedder.randomised else 1

    @property
    def num_classes(self) -> int:
        """Number of classes of the pool."""
        return int(self.labels.max()) + 1

    def batches(self, indices: Tensor) -> list[Tensor]:
        """Splits indices into batches that fit the batch size, repeated passes included."""
        return list(indices.split(max(1, self.batch_size // self.passes)))

    @cached_property
    def clean(self) -> Tensor:
        """Embeddings of the clean pool, shape (n, d); for a randomised model the direction of their mean."""
        parts = []
        with torch.no_grad():
            for batch in self.batches(torch.arange(len(self), device=self.images.device)):
                repeated = self.images[batch].repeat(self.passes, 1, 1, 1)
                embedded = self.embedder(repeated).view(self.passes, len(batch), -1)
                parts.append(embedded[0] if self.passes == 1 else F.normalize(embedded.mean(0)))
        return torch.cat(parts)

    @cached_property
    def spread(self) -> float:
        """Standard deviation of the cosines between images of the clean pool.

        Scales and temperatures of objectives are in units of it: a model whose embeddings all lie in a narrow
        cone has the same ranking on a smaller scale, and must meet the same attack.
        """
        pool = self.clean.double()
        mean = pool.mean(0).square().sum()
        square = (pool.t() @ pool).square().sum() / len(pool) ** 2
        return max(float((square - mean.square()).clamp_min(0).sqrt()), 1e-6)

    @cached_property
    def centroids(self) -> Tensor:
        """Directions of the classes' mean clean embeddings, shape (classes, d)."""
        sums = self.clean.new_zeros(self.num_classes, self.clean.shape[1])
        return F.normalize(sums.index_add_(0, self.labels, self.clean))
