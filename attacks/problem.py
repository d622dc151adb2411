"""The task of an attack: a model, the images to attack, and the budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from attacks.geometry import Ball, check_norm, check_pixels
from attacks.images import Images, images_per_pass
from attacks.precision import PRECISIONS, WHOLE, check_precision
from attacks.save_point import SavePoint
from attacks.watch import PassMeter, Unwatched, Watch
from benchmark.core.embedder import Embedder
from benchmark.core.seeding import derive_seed

NEAR = 5
"""Which neighbor of another class ends the near neighborhood of an image.

On trained models the median gap is then 0.95 to 1.1 times the standard deviation of all cosines.
"""

CHUNK = 1024
"""Images compared with the pool at a time."""

TINY = 1e-6
"""Smallest gap of cosines: that of a constant embedding."""


@dataclass
class Problem:
    """One attack's task: change `images` within the ball so that the embeddings go wrong.

    The clean pool is also the gallery, whose images query each other, unless some of them are queries only.

    A pool may be larger than the device's memory: batches of it are then read to the device (`get_batch`) and
    written back (`write_batch`). Anything as small as the embeddings is on the device.

    Attributes:
        embedder: the model, in evaluation mode, its parameters frozen.
        images: the clean pool, in [0, 1], shape (n, C, H, W): a float32 tensor, on the device or elsewhere,
            or an object that returns images batch by batch.
        labels: classes, contiguous from 0, shape (n,), on the model's device.
        ids: ids of the images, shape (n,), on the CPU.
        norm: "linf", "l2" or "l0".
        eps: radius of the ball in pixel space; in l0 the number of pixels that may change.
        seed: seed of random starts.
        eot: EOT samples that each gradient of a randomized model is averaged over; other models need one.
        batch_size: images (times `eot`) in one forward pass; `images_per_pass` when not given.
        attacked: indices of the images that may be changed, ascending, shape (t,), on the device; all when
            not given.
        queries: mask of the images that are queries only, while all others are the gallery; bool, shape (n,),
            on the device. When not given, each image is both, and does not retrieve itself.
        sources: other trained models of the same cell by their defense's spec, for transferred attacks.
        precision: name of the precision of the search's passes, one of `PRECISIONS`. Everything else is in
            float32: the clean pool's embeddings, scores, and the values that results are chosen by.
        counters: count the passes of the model and of the sources.
        embedded: embeddings of the clean pool that are known already, by model, as `clean` returns them.
        save_point: where the attack's state is saved on the way; None where it is not.
        watch: follows how far the attack is; nothing depends on it.

    Raises:
        UsageError: for an unknown norm, a budget in l0 that is no number of pixels, or a precision that is
            unknown or that the device does not have.
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
    precision: str = WHOLE
    counters: Sequence[PassMeter] = ()
    embedded: Mapping[Embedder, Tensor] = field(default_factory=dict)
    save_point: SavePoint | None = None
    watch: Watch = field(default_factory=Unwatched)

    def __post_init__(self) -> None:
        check_norm(self.norm)
        check_pixels(self.norm, self.eps)
        check_precision(self.precision, self.device)
        self.batch_size = self.batch_size or images_per_pass(self.shape[1:])

    def __len__(self) -> int:
        return len(self.images)

    @property
    def device(self) -> torch.device:
        """Device of the model and of all computation."""
        return self.labels.device

    @property
    def is_offloaded(self) -> bool:
        """Whether the clean images are not on the device, so that each batch must be fetched."""
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

    def ids_of(self, index: Tensor) -> Tensor:
        """Returns the ids of the images at `index`, shape (b,), on the device."""
        return self._ids_on_device[index]

    @cached_property
    def _ids_on_device(self) -> Tensor:
        return self.ids.to(self.device)

    @cached_property
    def gallery(self) -> Tensor:
        """Indices of the images that queries are compared with, shape (g,), on the device."""
        return self.all_indices if self.queries is None else self.all_indices[~self.queries]

    @cached_property
    def gallery_clean(self) -> Tensor:
        """Embeddings of the clean gallery, shape (g, d)."""
        return self.clean if self.queries is None else self.clean[self.gallery]

    def get_batch(self, index: Tensor | slice, images: Tensor | None = None) -> Tensor:
        """Reads a batch of images, shape (b, C, H, W), to the device.

        Args:
            index: indices in the pool, shape (b,), on the device; for a slice the result may be a view of the
                pool, which must not be written to.
            images: pool to read from, on any device; the clean pool when not given.
        """
        pool = self.images if images is None else images
        if isinstance(pool, Tensor):
            batch = pool[index] if isinstance(index, slice) else pool.index_select(0, index.to(pool.device))
            return batch.to(self.device)
        return pool.batch(index if isinstance(index, slice) else index.cpu(), self.device)

    def write_batch(self, images: Tensor, index: Tensor, attacked: Tensor) -> None:
        """Writes a batch of attacked images into a pool, in place, on whatever device the pool is."""
        images.index_copy_(0, index.to(images.device), attacked.to(images.device))

    def ball(self, index: Tensor) -> Ball:
        """Returns the balls around a batch of clean images, by their indices in the pool, shape (b,)."""
        return Ball(self.get_batch(index), self.norm, self.eps)

    def ball_for_gradients(self, index: Tensor) -> Ball:
        """Returns the same balls, with images laid out as the model's feature maps are.

        Gradients come in that layout; a step that mixed two layouts would take several times as long.
        """
        return Ball(self.get_batch(index).contiguous(memory_format=self._layout), self.norm, self.eps)

    @cached_property
    def _layout(self) -> torch.memory_format:
        """Channels last if a kernel of the model's convolutions is."""
        last = torch.channels_last
        kernels = (weight for weight in self.embedder.parameters() if weight.dim() == 4)
        found = any(not k.is_contiguous() and k.is_contiguous(memory_format=last) for k in kernels)
        return last if found else torch.contiguous_format

    def offload(self, tensor: Tensor) -> Tensor:
        """Moves a per-batch tensor to the CPU when the pool is offloaded."""
        return tensor.cpu() if self.is_offloaded else tensor

    def empty_pool(self) -> Tensor:
        """Allocates the attacked pool, shape (n, C, H, W), where the clean one is, or else on the CPU.

        Images outside `perturbed` are copied; the caller writes the rest.
        """
        if isinstance(self.images, Tensor):
            return torch.empty_like(self.images) if self.attacked is None else self.images.clone()
        pool = torch.empty(self.shape)
        if self.attacked is not None:
            unchanged = torch.ones(len(self), dtype=torch.bool, device=self.device)
            unchanged[self.attacked] = False
            for index in self.all_indices[unchanged].split(self.batch_size):
                self.write_batch(pool, index, self.get_batch(index))
        return pool

    @property
    def eot_samples(self) -> int:
        """Number of EOT samples per gradient: `eot` for a randomized model, 1 for others."""
        return self.eot if self.embedder.randomised else 1

    def repeat(self, batch: Tensor) -> Tensor:
        """Repeats images, shape (b, C, H, W), or indices, shape (b,), once for each EOT sample."""
        return batch.repeat(self.eot_samples, *[1] * (batch.dim() - 1)) if self.eot_samples > 1 else batch

    @property
    def search_is_rounded(self) -> bool:
        """Whether values within the search are rounded, so that what it found must be scored again."""
        return self.precision != WHOLE

    def forward_precision(self) -> AbstractContextManager[None]:
        """Returns the context of a forward pass within the search."""
        return PRECISIONS[self.precision].forward(self.device)

    def backward_precision(self) -> AbstractContextManager[None]:
        """Returns the context of a backward pass within the search."""
        return PRECISIONS[self.precision].backward()

    @property
    def num_classes(self) -> int:
        """Number of classes of the pool."""
        return int(self.labels.max()) + 1

    def batches(self, indices: Tensor) -> list[Tensor]:
        """Splits indices, shuffled, into batches that fit the batch size with all their EOT samples.

        Pools are sorted by class; a batch of one class would let a model use the others of the batch.
        """
        shuffled = indices[self._shuffled(len(indices)).to(indices.device)]
        return list(shuffled.split(max(1, self.batch_size // self.eot_samples)))

    def in_order(self, parts: Sequence[Tensor]) -> Tensor:
        """Concatenates what was computed of each batch of `batches(indices)`, in the order of the indices."""
        found = torch.cat(list(parts))
        return torch.empty_like(found).index_copy_(0, self._shuffled(len(found)).to(found.device), found)

    def _shuffled(self, count: int) -> Tensor:
        """Numbers from 0 to `count` in an order that depends on their count alone, shape (count,)."""
        seed = derive_seed("batches", count)
        return torch.randperm(count, generator=torch.Generator().manual_seed(seed))

    @cached_property
    def clean(self) -> Tensor:
        """Embeddings of the clean pool, of length 1, (n, d); for a randomized model the mean's direction."""
        if self.embedder in self.embedded:
            return self.embedded[self.embedder]
        parts = []
        with torch.no_grad():
            for batch in self.batches(self.all_indices):
                embedded = self.embedder(self.repeat(self.get_batch(batch)))
                draws = embedded.view(self.eot_samples, len(batch), -1)
                parts.append(draws[0] if len(draws) == 1 else F.normalize(draws, dim=2).mean(0))
        return F.normalize(self.in_order(parts))

    @cached_property
    def cosine_gap(self) -> float:
        """How far the near neighborhoods of the clean images reach, in cosines.

        The median over images of the cosine to the nearest other image, less that to the fifth nearest of
        another class (`NEAR`; to the farthest where there are fewer).

        Scales and temperatures of objectives are in units of it. A model whose embeddings all lie in a narrow
        cone has the same ranking on a smaller scale, and must face the same attack; and what a model does far
        away, as with a rare group at the opposite pole, must not flatten the attack on other images.
        """
        gaps = []
        for index in self.all_indices.split(CHUNK):
            cosines = self.clean[index] @ self.clean.t()
            cosines.scatter_(1, index.unsqueeze(1), -torch.inf)
            nearest = cosines.amax(1, keepdim=True)
            cosines.masked_fill_(self.labels[index].unsqueeze(1) == self.labels, -torch.inf)
            others = cosines.topk(min(NEAR, len(self)), dim=1).values
            gaps.append(nearest - torch.where(others.isfinite(), others, torch.inf).amin(1, keepdim=True))
        return max(float(torch.cat(gaps).median()), TINY)

    @cached_property
    def centroids(self) -> Tensor:
        """Directions of the classes' mean clean embeddings, shape (classes, d)."""
        sums = self.clean.new_zeros(self.num_classes, self.clean.shape[1])
        return F.normalize(sums.index_add_(0, self.labels, self.clean))
