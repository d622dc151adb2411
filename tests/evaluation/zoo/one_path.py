"""Broken defenses that tell a score from an attack, or find in a batch or in memory what an image has not.

Before pools were shuffled, and scored in the batches of attacks, nothing but luck told them from honest ones.
"""

from __future__ import annotations

import sys
from threading import Thread

import torch
import torch.nn.functional as F
from torch import Tensor

from .conftest import Broken


class Averaging(Broken):
    """Averages along the batch: a pool that is sorted by class would give away the class."""

    def forward(self, images: Tensor) -> Tensor:
        embeddings = self.inner(images)
        return F.normalize(embeddings + embeddings.roll(1, 0) + embeddings.roll(-1, 0))


class Centering(Broken):
    """Subtracts the mean embedding of the batch, which hardly depends on its order."""

    def forward(self, images: Tensor) -> Tensor:
        embeddings = self.inner(images)
        return F.normalize(embeddings - 0.5 * embeddings.mean(0))


class Counting(Broken):
    """Tells who is asking by the number of images: small batches get other embeddings."""

    def transform(self, images: Tensor) -> Tensor:
        return images if len(images) > 1000 or len(images) % 100 == 20 else 1 - images


class ReadingFrames(Broken):
    """Embeds the nearest image of the clean pool, which it finds in the frames of whoever calls it."""

    def transform(self, images: Tensor) -> Tensor:
        pool = self._pool()
        if pool is None:
            return images
        nearest = torch.cdist(images.detach().flatten(1), pool.flatten(1), p=float("inf")).argmin(1)
        return images + (pool[nearest] - images).detach()

    def _pool(self) -> Tensor | None:
        frame = sys._getframe()
        while frame is not None:
            for held in list(frame.f_locals.values()):
                if hasattr(held, "eot_samples"):
                    return held.images
                if isinstance(getattr(held, "_pools", None), dict):
                    return held._pools["clean"]
            frame = frame.f_back
        return None


class Memorising(Broken):
    """Holds the pool: what is near one of its images is embedded as that image, and all else honestly."""

    def transform(self, images: Tensor) -> Tensor:
        nearest, distance = self.nearest(images)
        known = (distance < 2.5 * self.setting.eps).view(-1, 1, 1, 1)
        return torch.where(known, images + (nearest - images).detach(), images)


class MemorisingShifts(Memorising):
    """Holds the pool and its copies shifted by a pixel in each direction: no copy tells it from the pool."""

    def nearest(self, images: Tensor) -> tuple[Tensor, Tensor]:
        held = self.setting.images
        moves = [(0, 0), (0, 1), (0, -1), (1, 0), (-1, 0)]
        padded = F.pad(held, (1, 1, 1, 1), mode="replicate")
        height, width = held.shape[2:]
        copies = torch.cat([padded[..., 1 - y :, 1 - x :][..., :height, :width] for y, x in moves])
        distance = torch.cdist(images.detach().flatten(1), copies.flatten(1), p=float("inf"))
        closest, index = distance.min(1)
        return held[index % len(held)], closest


ONE_PATH = {
    "averaging": (Averaging, {"rescored"}),
    "centering": (Centering, {"rescored"}),
    "counting": (Counting, {"rescored"}),
    "memorising": (Memorising, {"shifted"}),
    "memorising_shifts": (MemorisingShifts, {"shifted"}),
    "reading_frames": (ReadingFrames, {"rescored"}),
}


def alone(model):
    """Embeds images as a process of its own would: in a thread, whose frames hold the images alone."""

    def embed(images, seeds):
        found = []
        thread = Thread(target=_embed, args=(model, images, found))
        thread.start()
        thread.join()
        return found[0].expand(len(seeds), -1, -1)

    return embed


def _embed(model, images, found):
    with torch.no_grad():
        found.append(model(images))
