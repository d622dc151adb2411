"""Embeddings of a clean and an attacked pool, computed on first use and shared by the scenarios."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

import torch
from torch import Tensor

from attacks import Attack, Images, images_per_pass
from benchmark.core.embedder import Embedder
from benchmark.core.seeding import derive_seed, seed_everything
from benchmark.metrics import RECALL_KS
from benchmark.models import allowed_difference, check_unit_vectors

ISOLATED_IMAGES = 256
"""Attacked images that a process of its own embeds, at most: of 256, one in 50 that differs is found."""


class PoolEmbeddings:
    """Embeddings of a clean and an attacked pool under one model, each computed once, on first use.

    A model sees in a score what it sees in a step of an attack: as many images, in shuffled order, that
    require a gradient. Pools are sorted by class, which an embedding must not depend on.

    A randomised model embeds each pool `repeats` times, each time with new draws, and its scores are means
    over the repeats. The draws depend on the seed, the pool and the repeat, not on the order of scenarios.

    Args:
        model: the embedder.
        clean: the clean pool, in [0, 1], shape (n, C, H, W), or an object that returns it in batches.
        attacked: the attacked pool, same shape; the same object as `clean` where nothing is attacked.
        labels: classes, shape (n,), on the CPU.
        ids: ids of the images, shape (n,), on the CPU.
        repeats: how often a randomised model embeds each pool; other models embed it once.
        batch_size: images in one forward pass, as many as attacks use.
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
        isolated: embeds images, shape (k, C, H, W) on the CPU, in a process that has nothing else, once for
            each seed of a list: shape (repeats, k, d). None for models that are not checked this way.

    Attributes:
        query_indices, gallery_indices: indices of the queries and of the gallery in the pool, int64, shapes
            (q,) and (g,); the same tensor where each image is both.
        has_query_split: whether queries and gallery are different images.
        repeats: how often each pool is embedded, 1 unless the model is randomised.
        randomised: whether the model declares itself randomised.
        device: where the model is.
        model: the embedder.
        clean_images: the clean pool, as it was given.
        allowed_difference: how far two embeddings of an image may be apart in an entry by rounding.
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
        isolated: Callable[[Tensor, Sequence[int]], Tensor] | None = None,
    ) -> None:
        self.attack = attack
        self.model, self.clean_images = model, clean
        self._objective = None if objective is None else objective.cpu()
        self.randomised = model.randomised
        self.allowed_difference = allowed_difference(model)
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
        self._batch_size = batch_size or images_per_pass(shape)
        self._seed = seed
        self._queries = queries
        self._isolated = isolated
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

    def reembed(self, pool: str = "attacked", repeat: int = 0) -> Tensor:
        """Embeds a pool again: in another order and in other batches, with inputs that require no gradient.

        The result differs from that of `clean` or `attacked` for a model that treats attackers differently
        from users, that uses other images of a batch, or that changes between calls. A randomised model gets
        new draws for each repeat, not those of `attacked`.

        Args:
            pool: "clean" or "attacked".
            repeat: the repeat whose clean embeddings the images have that were not attacked.

        Returns:
            Embeddings, shape (n, d), on the CPU; computed again by each call.

        Raises:
            BenchmarkError: when one is not finite, or not of unit length.
        """
        parts = ("again", repeat) if pool == "attacked" else ("again", pool, repeat)
        if self._model.randomised:
            seed_everything("views", self._seed, self._pool_digest, *parts)
        # Never the whole pool at once: then any other order would be the same batch.
        size = max(1, min(self._batch_size, len(self._indices(pool))) // 2)
        with torch.no_grad():
            embedded = self._embed_shuffled(pool, size, self._model, *parts)
        return self._with_clean_rest(embedded, repeat) if pool == "attacked" else embedded

    def of_others(self, attacked: Tensor, changed: Tensor, clean: Tensor | None = None) -> PoolEmbeddings:
        """Returns the embeddings with another attacked pool, and a single repeat.

        Args:
            attacked: shape (n, C, H, W).
            changed: indices of its images that are embedded, shape (t,); the others are clean.
            clean: another clean pool, same shape; the same one when not given.
        """
        return PoolEmbeddings(
            self._model,
            self._pools["clean"] if clean is None else clean,
            attacked,
            self.labels,
            self.ids,
            1,
            self._batch_size,
            self._seed,
            changed=changed,
            queries=self._queries,
            ks=self.ks,
            device=self.device,
            clean_embeddings=[self.clean()] if clean is None else (),
        )

    def embed_isolated(self) -> tuple[Tensor, Tensor] | None:
        """Embeds some attacked queries in a process that has nothing but them, in shuffled order.

        Returns:
            Their indices, shape (k,), and embeddings of each repeat, shape (repeats, k, d); None for models
            that are not checked this way.

        Raises:
            BenchmarkError: when the process fails.
        """
        if self._isolated is None:
            return None
        queries = self.query_indices
        chosen = queries[self._shuffled(len(queries), "isolated")[:ISOLATED_IMAGES]]
        seeds = [
            derive_seed("isolated", self._seed, self._pool_digest, repeat) for repeat in range(self.repeats)
        ]
        return chosen, self._isolated(self.images("attacked", chosen), seeds)

    def embed_batch_twice(self) -> tuple[Tensor, Tensor]:
        """Embeds a batch of the clean pool in two forward passes with separate draws, shape (b, d) each."""
        if self._model.randomised:
            seed_everything("views", self._seed, self._pool_digest, "twice")
        batch = self._batch("clean", self._shuffled(len(self.labels), "twice")[: self._batch_size])
        with torch.no_grad():
            return self._model(batch).cpu(), self._model(batch).cpu()

    def _embed(self, pool: str, repeat: int) -> Tensor:
        key = ("clean" if self._nothing_attacked else pool, repeat % self.repeats)
        if key not in self._embedded:
            if self._model.randomised:
                seed_everything("views", self._seed, self._pool_digest, *key)
            embedded = self._embed_shuffled(pool, self._batch_size, self._as_in_attacks, *key)
            self._embedded[key] = embedded if key[0] == "clean" else self._with_clean_rest(embedded, repeat)
        return self._embedded[key]

    def _as_in_attacks(self, images: Tensor) -> Tensor:
        """Embeds a batch as a step of an attack does, shape (b, d), detached."""
        if not self._model.gradients:  # no attack's step has any, and the model may not take such an input
            with torch.no_grad():
                return self._model(images)
        images.requires_grad_(True)
        if self._model.randomised:
            images = images.repeat(1, 1, 1, 1)  # once for each EOT sample: no leaf of the graph
        with torch.set_grad_enabled(self._model.differentiable() is self._model):
            return self._model(images).detach()

    def _with_clean_rest(self, embedded: Tensor, repeat: int) -> Tensor:
        """Adds the clean embeddings of the images that were not attacked."""
        if self._changed is None:
            return embedded
        return self.clean(repeat).index_copy(0, self._changed, embedded)

    @cached_property
    def _pool_digest(self) -> int:
        """A hash of labels and ids, which a model does not get: a seed that it guesses would mark a score."""
        return derive_seed(*self.labels.tolist(), *self.ids.tolist())

    def _shuffled(self, count: int, *parts: object) -> Tensor:
        """Numbers from 0 to `count` in an order that depends on the parts, shape (count,)."""
        seed = derive_seed("order", self._seed, self._pool_digest, *parts)
        return torch.randperm(count, generator=torch.Generator().manual_seed(seed))

    def _indices(self, pool: str) -> Tensor:
        """Indices of the images of a pool that are embedded, shape (t,)."""
        whole = pool == "clean" or self._changed is None
        return torch.arange(len(self.labels)) if whole or self._changed is None else self._changed

    def _embed_shuffled(
        self, pool: str, size: int, embed: Callable[[Tensor], Tensor], *parts: object
    ) -> Tensor:
        """Embeds a pool in batches of a size and in an order of the parts; returned in order, on the CPU."""
        indices = self._indices(pool)
        order = self._shuffled(len(indices), *parts)
        batches = [embed(self._batch(pool, batch)) for batch in indices[order].split(size)]
        embedded = torch.cat(batches).cpu()
        check_unit_vectors(self._model, embedded)
        return torch.empty_like(embedded).index_copy_(0, order, embedded)

    def _batch(self, pool: str, indices: Tensor) -> Tensor:
        """Reads a copy of some images of a pool, shape (b, C, H, W), to the model's device."""
        images = self._pools[pool]
        if isinstance(images, Tensor):
            return images[indices.to(images.device)].to(self.device)
        return images.batch(indices, self.device)
