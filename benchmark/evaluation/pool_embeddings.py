"""A model's view of a pool, clean and attacked; embedded once and shared by the scenarios."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from attacks import Attack, Images, images_per_pass
from benchmark.core.embedder import Embedder
from benchmark.core.seeding import seed_everything
from benchmark.metrics import RECALL_KS


class PoolEmbeddings:
    """Embeddings of a clean and an attacked pool, made when first asked for.

    Args:
        model: the embedder.
        clean: the clean pool, in [0, 1], shape (n, C, H, W), or what hands it out batch by batch.
        attacked: the attacked pool, same shape; the same object where nothing is attacked.
        labels: classes, shape (n,), on the CPU.
        ids: ids of the images, shape (n,), on the CPU.
        passes: passes over which a randomised model's outcomes are averaged; others take one.
        batch_size: images in one pass; twice as many as attacks take when not given.
        seed: seed of a randomised model's draws. They depend on it, the pool and the turn alone, not on which
            scenario asked first.
        attack: the attack that made the attacked pool; None where nothing is attacked.
        objective: what the attack maximised, at its images, shape (n,), where it attacked the whole pool.
        queries: which images only query while all others are the gallery, bool, shape (n,), on the CPU; when
            not given each image is both.
        ks: the K of Recall@K.
        device: where the model is; where the attacked pool is when not given.

    Attributes:
        device: where the model is.
        asking, stored: indices of the queries and of the gallery in the pool, shapes (q,) and (g,); the same
            tensor where each image is both.
    """

    def __init__(
        self,
        model: Embedder,
        clean: Tensor | Images,
        attacked: Tensor | Images,
        labels: Tensor,
        ids: Tensor,
        passes: int,
        batch_size: int | None = None,
        seed: int = 0,
        attack: Attack | None = None,
        objective: Tensor | None = None,
        queries: Tensor | None = None,
        ks: Sequence[int] = RECALL_KS,
        device: torch.device | str | None = None,
    ) -> None:
        self.attack = attack
        self.objective = None if objective is None else objective.cpu()
        self.randomised = model.randomised
        self.labels = labels
        self.ids = ids
        self.ks = tuple(ks)
        everything = torch.arange(len(labels))
        self.separate = queries is not None
        self.asking = everything if queries is None else everything[queries]
        self.stored = everything if queries is None else everything[~queries]
        self.passes = passes if model.randomised else 1
        self._model = model
        self._pools = {"clean": clean, "attacked": attacked}
        self._same = clean is attacked
        given = attacked.device if isinstance(attacked, Tensor) else torch.device("cpu")
        self.device = given if device is None else torch.device(device)
        shape = clean.shape[1:] if isinstance(clean, Tensor) else clean.image_shape
        self._batch_size = batch_size or 2 * images_per_pass(shape)
        self._seed = seed
        self._embedded: dict[tuple[str, int], Tensor] = {}

    def _embed(self, pool: str, turn: int) -> Tensor:
        key = ("clean" if self._same else pool, turn % self.passes)
        if key not in self._embedded:
            if self._model.randomised:
                seed_everything("views", self._seed, *key)
            with torch.no_grad():
                parts = [self._model(batch) for batch in self._batches(pool, self._batch_size)]
            self._embedded[key] = torch.cat(parts).cpu()
        return self._embedded[key]

    def _batches(self, pool: str, size: int) -> Iterator[Tensor]:
        for start in range(0, len(self.labels), size):
            yield self._batch(pool, slice(start, start + size))

    def _batch(self, pool: str, part: slice) -> Tensor:
        images = self._pools[pool]
        if isinstance(images, Tensor):
            return images[part].to(self.device)
        return images.batch(part, self.device)

    def clean(self, turn: int = 0) -> Tensor:
        """Embeddings of the clean pool, shape (n, d), on the CPU; a pass of its own for each turn."""
        return self._embed("clean", turn)

    def attacked(self, turn: int = 0) -> Tensor:
        """Embeddings of the attacked pool, shape (n, d), on the CPU; a pass of its own for each turn."""
        return self._embed("attacked", turn)

    def again(self, turn: int = 0) -> Tensor:
        """The attacked pool embedded once more, with gradients on: as attacks see the model; shape (n, d).

        A model that answers attacks otherwise than it answers users, or the same image otherwise when it
        comes again, is found out by the difference to `attacked`. For a randomised model a pass of its own
        for each turn, with other draws than `attacked` has.
        """
        if self._model.randomised:
            seed_everything("views", self._seed, "again", turn)
        # With a graph a pass takes more memory, so as few images at a time as attacks take.
        batches = self._batches("attacked", max(1, self._batch_size // 2))
        return torch.cat(
            [self._model(batch.clone().requires_grad_(True)).detach().cpu() for batch in batches]
        )

    def twice(self) -> tuple[Tensor, Tensor]:
        """Two passes over the first batch of the clean pool, each with draws of its own, shape (b, d)."""
        if self._model.randomised:
            seed_everything("views", self._seed, "twice")
        batch = self._batch("clean", slice(self._batch_size))
        with torch.no_grad():
            return self._model(batch).cpu(), self._model(batch).cpu()
