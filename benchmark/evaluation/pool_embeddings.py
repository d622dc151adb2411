"""Embeddings of a clean and an attacked pool, computed on first use and shared by the scenarios."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from attacks import Attack, Images, images_per_pass
from benchmark.core.embedder import Embedder
from benchmark.core.seeding import seed_everything
from benchmark.metrics import RECALL_KS


class PoolEmbeddings:
    """Embeddings of a clean and an attacked pool under one model, each computed once, on first use.

    A randomised model embeds each pool `repeats` times, each time with new draws, and its scores are means
    over the repeats. The draws depend on the seed, the pool and the repeat, not on the order of scenarios.

    Args:
        model: the embedder.
        clean: the clean pool, in [0, 1], shape (n, C, H, W), or an object that returns it in batches.
        attacked: the attacked pool, same shape; the same object as `clean` where nothing is attacked.
        labels: classes, shape (n,), on the CPU.
        ids: ids of the images, shape (n,), on the CPU.
        repeats: how often a randomised model embeds each pool; other models embed it once.
        batch_size: images in one forward pass; by default twice as many as attacks use.
        seed: seed of a randomised model's draws.
        attack: the attack that made the attacked pool; None where nothing is attacked.
        objective: the attack's objective at each attacked image, in the order of `changed`, shape (t,).
        changed: indices of the attacked images, the only ones that are embedded of the attacked pool; the
            others have their clean embeddings. Shape (t,); all images when not given.
        queries: which images are queries, all others being the gallery, bool, shape (n,), on the CPU; None
            where each image is both.
        ks: the K of Recall@K.
        device: where the model is; by default where the attacked pool is.
        clean_embeddings: what `clean` returns of each repeat, where it is known already; shape (n, d) each.

    Attributes:
        query_indices, gallery_indices: indices of the queries and of the gallery in the pool, int64, shapes
            (q,) and (g,); the same tensor where each image is both.
        has_query_split: whether queries and gallery are different images.
        repeats: how often each pool is embedded, 1 unless the model is randomised.
        randomised: whether the model declares itself randomised.
        device: where the model is.
        model: the embedder.
        clean_images: the clean pool, as it was given.
    """

    def __init__(
        self,
        model: Embedder,
        clean: Tensor | Images,
        attacked: Tensor | Images,
        labels: Tensor,
        ids: Tensor,
        repeats: int,
        batch_size: int | None = None,
        seed: int = 0,
        attack: Attack | None = None,
        objective: Tensor | None = None,
        changed: Tensor | None = None,
        queries: Tensor | None = None,
        ks: Sequence[int] = RECALL_KS,
        device: torch.device | str | None = None,
        clean_embeddings: Sequence[Tensor] = (),
    ) -> None:
        self.attack = attack
        self.model, self.clean_images = model, clean
        self._objective = None if objective is None else objective.cpu()
        self.randomised = model.randomised
        self.labels = labels
        self.ids = ids
        self.ks = tuple(ks)
        all_indices = torch.arange(len(labels))
        self.has_query_split = queries is not None
        self.query_indices = all_indices if queries is None else all_indices[queries]
        self.gallery_indices = all_indices if queries is None else all_indices[~queries]
        self.repeats = repeats if model.randomised else 1
        self._changed = None if changed is None else changed.cpu()
        self._model = model
        self._pools = {"clean": clean, "attacked": attacked}
        self._nothing_attacked = clean is attacked
        pool_device = attacked.device if isinstance(attacked, Tensor) else torch.device("cpu")
        self.device = pool_device if device is None else torch.device(device)
        shape = clean.shape[1:] if isinstance(clean, Tensor) else clean.image_shape
        self._batch_size = batch_size or 2 * images_per_pass(shape)
        self._seed = seed
        self._embedded = {("clean", repeat): known for repeat, known in enumerate(clean_embeddings)}

    @property
    def objective(self) -> Tensor | None:
        """The attack's objective at each image, shape (n,), on the CPU, where every image was attacked."""
        return self._objective if self._changed is None else None

    @property
    def objective_of_each(self) -> Tensor | None:
        """The same, also where not every image was attacked; nan at those that were not."""
        values = self._objective
        if values is None or self._changed is None:
            return values
        return values.new_full((len(self.labels),), torch.nan).index_copy(0, self._changed, values)

    @property
    def batch_size(self) -> int:
        """Images in one forward pass."""
        return self._batch_size

    def clean(self, repeat: int = 0) -> Tensor:
        """Embeddings of the clean pool, shape (n, d), on the CPU; `repeat` counts modulo `repeats`."""
        return self._embed("clean", repeat)

    def attacked(self, repeat: int = 0) -> Tensor:
        """Embeddings of the attacked pool, shape (n, d), on the CPU; `repeat` counts modulo `repeats`."""
        return self._embed("attacked", repeat)

    def images(self, pool: str, indices: Tensor) -> Tensor:
        """Some images of a pool, "clean" or "attacked", in [0, 1], shape (k, C, H, W), on the CPU."""
        images = self._pools[pool]
        if isinstance(images, Tensor):
            return images[indices.to(images.device)].cpu()
        return images.batch(indices, "cpu")

    def reembed_attacked(self, repeat: int = 0) -> Tensor:
        """Embeds the attacked pool again with inputs that require a gradient, as attacks see the model.

        The result differs from `attacked` for a model that treats attackers differently from users, or that
        changes between calls. A randomised model gets new draws for each repeat, not those of `attacked`.

        Returns:
            Embeddings, shape (n, d), on the CPU, detached; computed again by each call.
        """
        if self._model.randomised:
            seed_everything("views", self._seed, "again", repeat)
        # The graph takes memory, so batches are as small as those of attacks.
        batches = self._batches("attacked", max(1, self._batch_size // 2))
        embedded = [self._model(batch.clone().requires_grad_(True)).detach().cpu() for batch in batches]
        return self._with_clean_rest(torch.cat(embedded), repeat)

    def embed_batch_twice(self) -> tuple[Tensor, Tensor]:
        """Embeds the first batch of the clean pool in two forward passes with separate draws, (b, d) each."""
        if self._model.randomised:
            seed_everything("views", self._seed, "twice")
        batch = self._batch("clean", slice(self._batch_size))
        with torch.no_grad():
            return self._model(batch).cpu(), self._model(batch).cpu()

    def _embed(self, pool: str, repeat: int) -> Tensor:
        key = ("clean" if self._nothing_attacked else pool, repeat % self.repeats)
        if key not in self._embedded:
            if self._model.randomised:
                seed_everything("views", self._seed, *key)
            with torch.no_grad():
                parts = [self._model(batch) for batch in self._batches(pool, self._batch_size)]
            embedded = torch.cat(parts).cpu()
            self._embedded[key] = embedded if key[0] == "clean" else self._with_clean_rest(embedded, repeat)
        return self._embedded[key]

    def _with_clean_rest(self, embedded: Tensor, repeat: int) -> Tensor:
        """Adds the clean embeddings of the images that were not attacked."""
        if self._changed is None:
            return embedded
        return self.clean(repeat).index_copy(0, self._changed, embedded)

    def _batches(self, pool: str, size: int) -> Iterator[Tensor]:
        if pool == "attacked" and self._changed is not None:
            yield from (self._batch(pool, part) for part in self._changed.split(size))
            return
        for start in range(0, len(self.labels), size):
            yield self._batch(pool, slice(start, start + size))

    def _batch(self, pool: str, part: slice | Tensor) -> Tensor:
        images = self._pools[pool]
        if isinstance(images, Tensor):
            index = part if isinstance(part, slice) else part.to(images.device)
            return images[index].to(self.device)
        return images.batch(part, self.device)
