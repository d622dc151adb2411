"""The batches of an epoch, made ready while the model is busy with the one before."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from torch import Tensor

from benchmark.core.cpu import cores
from benchmark.core.seeding import derive_seed
from benchmark.data.base import ImageSet
from benchmark.training.augment import random_shift
from benchmark.training.crops import random_crops
from benchmark.training.recipe import Recipe

_THREADS = 8
"""Most threads that make batches. Each has one in hand, and one more lies ready: a batch takes as much memory
as the model's input."""


class Batches:
    """Hands out augmented batches.

    Crops and mirroring take time, so a few threads make them ahead; each batch has a generator of its own, so
    that their order does not matter. Shifts are drawn from the global generator when a batch is handed out.

    Args:
        data: the images.
        recipe: augmentation.
        device: where batches are needed.

    Attributes:
        waited: seconds that were spent waiting for batches.
    """

    def __init__(self, data: ImageSet, recipe: Recipe, device: torch.device | str) -> None:
        self._data = data
        self._recipe = recipe
        self._device = torch.device(device)
        self._ahead = recipe.crop is not None or recipe.flip or not isinstance(data.images, Tensor)
        self.waited = 0.0

    def epoch(self, order: Tensor, size: int, number: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The images, float32 in [0, 1], (size, C, H, W) on the device, and their indices (size,) on the CPU.

        Args:
            order: indices of the images, batch after batch; what is left over is not used.
            size: images in a batch.
            number: of the epoch, which what is random depends on.
        """
        parts = list(order[: len(order) // size * size].split(size))
        for index, images in zip(parts, self._read(parts, number), strict=True):
            yield random_shift(images, self._recipe.shift), index

    def _read(self, parts: list[Tensor], number: int) -> Iterator[Tensor]:
        if not self._ahead:
            for index in parts:
                started = time.perf_counter()
                images = self._data.batch(index, self._device)
                self.waited += time.perf_counter() - started
                yield images
            return
        seed = int(torch.randint(2**62, ()))
        waiting: deque[Future[Tensor]] = deque()
        threads = max(1, min(_THREADS, cores() - 1))
        with ThreadPoolExecutor(threads) as pool:
            try:
                for place in range(len(parts) + threads):
                    if place < len(parts):
                        own = derive_seed(seed, number, place)
                        waiting.append(pool.submit(self._make, parts[place], own))
                    if place >= threads:
                        started = time.perf_counter()
                        images = waiting.popleft().result()
                        # Where it was pinned, the copy goes on while the last step is being computed.
                        images = images.to(self._device, non_blocking=True)
                        self.waited += time.perf_counter() - started
                        yield images.float().div(255) if images.dtype == torch.uint8 else images.float()
            finally:
                for future in waiting:
                    future.cancel()

    def _make(self, index: Tensor, seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        images = random_crops(self._data.images, index, self._recipe.crop, self._recipe.flip, generator)
        return images.pin_memory() if self._device.type == "cuda" else images
