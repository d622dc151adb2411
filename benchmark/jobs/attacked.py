"""A model, an attack and a pool, loaded and on their device."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from attacks import Attack, Images
from benchmark.core.embedder import Embedder
from benchmark.data import ImageSet
from benchmark.jobs.memory import pool_bytes


@dataclass
class Attacked:
    """What is attacked, loaded and on its device.

    Attributes:
        model: the model.
        units: what one cost unit of the model and of each source is, in FLOPs; a row without a network has
            another than the source that attacks it.
        attack: the attack; None for the clean pool.
        sources: models that a transferred attack starts from.
        pool: the data set's pool.
        images: its images, on the device or not.
        copies: pools that are held for attacks on other images than queries, beside those of the attack.
    """

    model: Embedder
    units: tuple[int, ...]
    attack: Attack | None
    sources: dict[str, Embedder]
    pool: ImageSet
    images: Tensor | Images
    copies: int

    def to_come(self) -> int:
        """Bytes of pools that an attack will put on the device beside the clean one, where that is there."""
        if not isinstance(self.images, Tensor) or self.attack is None:
            return 0
        return (1 + self.copies + self.attack.pools_in_memory()) * pool_bytes(self.pool)
