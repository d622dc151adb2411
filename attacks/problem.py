"""What an attack is given: a model, the images to attack, and the budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from attacks.geometry import check_norm
from benchmark.core.embedder import Embedder


class Images(Protocol):
    """A pool of images that is not in memory as a whole, such as a data set's."""

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of one image."""

    def __len__(self) -> int: ...

    def batch(self, indices: Tensor | slice, device: torch.device | str) -> Tensor:
        """The images at some indices, on the CPU, as float32 in [0, 1] on the device."""


MOST_IMAGES = 256
"""Images in one pass, at most."""

MOST_PIXELS = MOST_IMAGES * 96 * 96
"""Pixels in one pass, at most, so that its activations do not grow with the images.

With a graph to the input, mobilenetv2_100 keeps 1,030 bytes for each pixel, resnet50 830, bn_inception 580
and smallconv 40, whatever the image's size: 2.4, 2.0, 1.4 and 0.1 GB a pass and member of an ensemble. 256
images of 224 pixels would take 13.2 GB of the first.
"""


def images_a_pass(image_shape: Sequence[int]) -> int:
    """Images in one pass with a graph, by their shape (C, H, W) alone: the same on every machine.

    Sums in another order differ in the last bits, so that figures would else depend on the memory.
    """
    _, height, width = image_shape
    return max(1, min(MOST_IMAGES, MOST_PIXELS // (height * width)))


@dataclass
class Problem:
    """One attack's task: change `images` within the ball so that the embeddings go wrong.

    The clean pool is also the gallery, whose images query each other, unless some of them only query.

    A pool may be larger than the memory of the device: the images then come to it batch by batch (`take`),
    and those that are attacked go back (`put`). Whatever is as small as the embeddings is on the device.

    Attributes:
        embedder: the model, in evaluation mode, its parameters frozen.
        images: the clean pool, in [0, 1], shape (n, C, H, W): a float32 tensor, on the device or elsewhere,
            or what hands images out batch by batch.
        labels: classes, contiguous from 0, shape (n,), on the device, which is where the model is.
        ids: ids of the images, shape (n,), on the CPU.
        norm: "linf" or "l2".
        eps: radius of the ball in pixel space.
        seed: seed of random starts.
        eot: passes that a gradient is averaged over, for a randomised model; others take one.
        batch_size: images (times `eot`) in one pass; as many as `images_a_pass` says when not given.
        attacked: indices of the images that may be changed, ascending, shape (t,), on the device; all when
            not given.
        queries: which images only query while all others are the gallery, bool, shape (n,), on the device;
            when not given each image is both, and its own query finds it nowhere.
        sources: other trained models of the same cell by their defense's spec, for transferred attacks.

    Raises:
        UsageError: for a norm that there is no ball of.
    """

    embedder: Embedder
    images: Tensor | Images
    labels: Tensor
    ids: Tensor
    norm: str
    eps: float
    seed: int = 0
    eot: int = 1
    batch_size: int = 0
    attacked: Tensor | None = None
    queries: Tensor | None = None
    sources: Mapping[str, Embedder] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_norm(self.norm)
        self.batch_size = self.batch_size or images_a_pass(self.shape[1:])

    def __len__(self) -> int:
        return len(self.images)

    @property
    def device(self) -> torch.device:
        """Where the model is, and all that is reckoned with."""
        return self.labels.device

    @property
    def is_offloaded(self) -> bool:
        """Whether a batch has to be fetched: the clean images do not lie on the device as they are needed."""
        return not isinstance(self.images, Tensor) or self.images.device != self.device

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, C, H, W)."""
        shape = self.images.shape[1:] if isinstance(self.images, Tensor) else self.images.image_shape
        return (len(self), *shape)

    @cached_property
    def all_indices(self) -> Tensor:
        """Indices of all images, shape (n,), on the device."""
        return torch.arange(len(self), device=self.device)

    @property
    def perturbed(self) -> Tensor:
        """Indices of the images that may be changed, shape (t,), on the device."""
        return self.all_indices if self.attacked is None else self.attacked

    @cached_property
    def gallery(self) -> Tensor:
        """Indices of the images that queries are compared with, shape (g,), on the device."""
        return self.all_indices if self.queries is None else self.all_indices[~self.queries]

    @cached_property
    def gallery_clean(self) -> Tensor:
        """Embeddings of the clean gallery, shape (g, d)."""
        return self.clean if self.queries is None else self.clean[self.gallery]

    def get_batch(self, index: Tensor | slice, images: Tensor | None = None) -> Tensor:
        """Some images, shape (b, C, H, W), on the device.

        Args:
            index: their indices in the pool, shape (b,), on the device; of a slice, the result may be a part
                of the pool itself, which must not be written to.
            images: another pool to take them from than the clean one, on whatever device.
        """
        pool = self.images if images is None else images
        if isinstance(pool, Tensor):
            there = index if isinstance(index, slice) else index.to(pool.device)
            return pool[there].to(self.device)
        return pool.batch(index if isinstance(index, slice) else index.cpu(), self.device)

    def write_batch(self, images: Tensor, index: Tensor, attacked: Tensor) -> None:
        """Writes a batch into a pool, in place, wherever that is."""
        images[index.to(images.device)] = attacked.to(images.device)

    def offload(self, tensor: Tensor) -> Tensor:
        """What a batch keeps while others move: where the clean images are, if these must be fetched."""
        return tensor.cpu() if self.is_offloaded else tensor

    def empty_pool(self) -> Tensor:
        """Room for the attacked pool, shape (n, C, H, W), where the clean one is, or else on the CPU.

        The images that may not be changed are there already; the others must all be put.
        """
        if isinstance(self.images, Tensor):
            return torch.empty_like(self.images) if self.attacked is None else self.images.clone()
        room = torch.empty(self.shape)
        if self.attacked is not None:
            kept = torch.ones(len(self), dtype=torch.bool, device=self.device)
            kept[self.attacked] = False
            for index in self.all_indices[kept].split(self.batch_size):
                self.write_batch(room, index, self.get_batch(index))
        return room

    @property
    def eot_samples(self) -> int:
        """Passes that each gradient is averaged over."""
        return self.eot if self.embedder.randomised else 1

    @property
    def num_classes(self) -> int:
        """Number of classes of the pool."""
        return int(self.labels.max()) + 1

    def batches(self, indices: Tensor) -> list[Tensor]:
        """Splits indices into batches that fit the batch size, repeated passes included."""
        return list(indices.split(max(1, self.batch_size // self.eot_samples)))

    @cached_property
    def clean(self) -> Tensor:
        """Embeddings of the clean pool, shape (n, d); for a randomised model the direction of their mean."""
        parts = []
        with torch.no_grad():
            for batch in self.batches(self.all_indices):
                repeated = self.get_batch(batch).repeat(self.eot_samples, 1, 1, 1)
                embedded = self.embedder(repeated).view(self.eot_samples, len(batch), -1)
                parts.append(embedded[0] if self.eot_samples == 1 else F.normalize(embedded.mean(0)))
        return torch.cat(parts)

    @cached_property
    def cosine_std(self) -> float:
        """Standard deviation of the cosines between images of the clean pool.

        Scales and temperatures of objectives are in units of it: a model whose embeddings all lie in a narrow
        cone has the same ranking on a smaller scale, and must meet the same attack.
        """
        pool = self.clean.double()
        mean = pool.mean(0).square().sum()
        # The smaller of the two products whose entries have the same sum of squares.
        gram = pool.t() @ pool if pool.shape[1] <= len(pool) else pool @ pool.t()
        square = gram.square().sum() / len(pool) ** 2
        return max(float((square - mean.square()).clamp_min(0).sqrt()), 1e-6)

    @cached_property
    def centroids(self) -> Tensor:
        """Directions of the classes' mean clean embeddings, shape (classes, d)."""
        sums = self.clean.new_zeros(self.num_classes, self.clean.shape[1])
        return F.normalize(sums.index_add_(0, self.labels, self.clean))
