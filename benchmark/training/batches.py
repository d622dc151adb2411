"""The batches of an epoch, prepared in threads while the model trains on the previous one."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from torch import Tensor

from benchmark.core.cpu import cores
from benchmark.core.seeding import derive_seed
from benchmark.core.transfer import to_device
from benchmark.data.base import ImageSet
from benchmark.training.augment import random_shift
from benchmark.training.crops import Crops, draw_crops, random_crops
from benchmark.training.device_crops import crop_on_device
from benchmark.training.recipe import Recipe

_MAX_THREADS = 8
"""Maximum number of threads that prepare batches. Each works on one batch, and one more batch lies ready; a
batch takes as much memory as the model's input."""


class Batches:
    """Loads and augments the batches of a training.

    Crops and mirroring take time, so threads prepare them in advance. Each batch has its own generator, so
    the result does not depend on the order in which threads finish. Shifts are drawn from the global
    generator when a batch is yielded.

    Args:
        data: the training images.
        recipe: the augmentation settings.
        device: where the batches are needed.
        image_memory: bytes of the device's memory that the images may fill. Images that fit are copied there
            once, and are cropped there (see `crop_on_device`); others are cropped on the CPU. The crops drawn
            are the same.

    Attributes:
        waited: seconds spent waiting for batches.
    """

    def __init__(
        self, data: ImageSet, recipe: Recipe, device: torch.device | str, image_memory: int = 0
    ) -> None:
        self._data = data
        self._recipe = recipe
        self._device = torch.device(device)
        self._prefetches = recipe.crop is not None or recipe.flip or not isinstance(data.images, Tensor)
        on_device = self._device.type != "cpu" and data.images.nbytes <= image_memory
        self._resident = data.images.to(self._device) if on_device else None
        self.waited = 0.0

    def epoch(self, order: Tensor, size: int, number: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yields the batches of an epoch.

        Args:
            order: indices of the images, batch after batch; an incomplete last batch is dropped.
            size: images in a batch.
            number: number of the epoch, from which the batches' seeds are derived.

        Yields:
            Images, float32 in [0, 1], shape (size, C, H, W), on the device; and their indices, shape (size,),
            on the CPU.
        """
        parts = list(order[: len(order) // size * size].split(size))
        for index, images in zip(parts, self._read(parts, number), strict=True):
            yield random_shift(images, self._recipe.shift), index

    def _read(self, parts: list[Tensor], number: int) -> Iterator[Tensor]:
        if not self._prefetches:
            for index in parts:
                started = time.perf_counter()
                images = self._take(index)
                self.waited += time.perf_counter() - started
                yield _as_floats(images)
            return
        seed = int(torch.randint(2**62, ()))
        pending: deque[Future[Tensor | Crops]] = deque()
        threads = max(1, min(_MAX_THREADS, cores() - 1))
        with ThreadPoolExecutor(threads) as pool:
            try:
                for position in range(len(parts) + threads):
                    if position < len(parts):
                        batch_seed = derive_seed(seed, number, position)
                        pending.append(pool.submit(self._prepare, parts[position], batch_seed))
                    if position >= threads:
                        started = time.perf_counter()
                        images = self._on_device(pending.popleft().result(), parts[position - threads])
                        self.waited += time.perf_counter() - started
                        yield _as_floats(images)
            finally:
                for future in pending:
                    future.cancel()

    def _take(self, index: Tensor) -> Tensor:
        """Returns images as they are stored, on the device."""
        if isinstance(self._resident, Tensor):
            return self._resident[to_device(index, self._device)]
        return to_device(self._data.images[index], self._device)

    def _prepare(self, index: Tensor, seed: int) -> Tensor | Crops:
        """Crops the images of a batch, or draws the crops where the images are on the device."""
        generator = torch.Generator().manual_seed(seed)
        crop, flip = self._recipe.crop, self._recipe.flip
        if self._resident is not None:
            return draw_crops(self._data.images, index, crop, flip, generator)
        images = random_crops(self._data.images, index, crop, flip, generator)
        return images.pin_memory() if self._device.type == "cuda" else images

    def _on_device(self, prepared: Tensor | Crops, index: Tensor) -> Tensor:
        """Returns a batch on the device, as its images are stored."""
        if isinstance(prepared, Tensor):
            # From pinned memory, the copy overlaps with the computation of the previous step.
            return prepared.to(self._device, non_blocking=True)
        assert self._resident is not None
        return crop_on_device(self._resident, index, prepared)


def _as_floats(images: Tensor) -> Tensor:
    """Turns uint8 images into float32 in [0, 1]; float32 images stay as they are."""
    return images.float().div(255) if images.dtype == torch.uint8 else images.float()
