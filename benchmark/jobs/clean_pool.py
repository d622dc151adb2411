"""Embeddings of the clean pool under one model, computed once, by the job that needs them first, and kept."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from attacks import Images, Problem
from benchmark.core.embedder import Embedder
from benchmark.core.seeding import seed_everything
from benchmark.data import ImageSet
from benchmark.evaluation import PoolEmbeddings
from benchmark.records import ModelKey, Store
from benchmark.records.embeddings import read_embeddings, save_embeddings


@dataclass(frozen=True)
class CleanEmbeddings:
    """Embeddings of the clean pool, on the CPU.

    Attributes:
        scored: those of each repeat, which scores compare with, shape (repeats, n, d).
        searched: those that attacks compare with, shape (n, d). Of a randomised model means over EOT samples
            with draws of their own, because an attacker does not know those of a score; else the same.
    """

    scored: Tensor
    searched: Tensor


@dataclass(frozen=True)
class CleanPool:
    """The clean pool of a model, whose embeddings are read from the store, or computed and written there.

    They are the same either way, so no score depends on which job was first.

    Attributes:
        stored_as: id of the embeddings: of the model and of all else that they depend on.
        key: the key of the model.
        pool: the data set's pool.
        images: its images, on the device or not.
        device: where the model is.
        eot: EOT samples that gradients of a randomised model are averaged over.
        repeats: how often a randomised model embeds the pool.
    """

    stored_as: str
    key: ModelKey
    pool: ImageSet
    images: Tensor | Images
    device: str
    eot: int
    repeats: int

    def embeddings(self, model: Embedder, batch_size: int, store: Store) -> CleanEmbeddings:
        """Returns the embeddings.

        Args:
            model: the model, on the device; its generators are seeded where it is randomised.
            batch_size: images in one forward pass with gradients.
            store: where they are kept.
        """
        found = read_embeddings(store, self.stored_as)
        if self._fits(found, model):
            scored = torch.from_numpy(found["scored"])
            return CleanEmbeddings(
                scored, torch.from_numpy(found["searched"]) if model.randomised else F.normalize(scored[0])
            )
        made = self._compute(model, batch_size)
        arrays = {"scored": made.scored.numpy()}
        if model.randomised:
            arrays["searched"] = made.searched.numpy()
        save_embeddings(store, self.stored_as, arrays, self.key)
        return made

    def _fits(self, found: dict[str, np.ndarray], model: Embedder) -> bool:
        needed = {"scored", "searched"} if model.randomised else {"scored"}
        repeats = self.repeats if model.randomised else 1
        return found.keys() == needed and found["scored"].shape[:2] == (repeats, len(self.pool))

    def _compute(self, model: Embedder, batch_size: int) -> CleanEmbeddings:
        pool, seed = self.pool, self.key.seed
        views = PoolEmbeddings(
            model,
            self.images,
            self.images,
            pool.labels,
            pool.ids,
            self.repeats,
            batch_size=batch_size,
            seed=seed,
            device=self.device,
        )
        scored = torch.stack([views.clean(repeat) for repeat in range(views.repeats)])
        if not model.randomised:
            return CleanEmbeddings(scored, F.normalize(scored[0]))
        seed_everything("views", seed, "searched")
        labels = pool.labels.to(self.device)
        problem = Problem(
            model, self.images, labels, pool.ids, "linf", 1.0, eot=self.eot, batch_size=batch_size
        )
        return CleanEmbeddings(scored, problem.clean.cpu())
