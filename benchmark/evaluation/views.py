"""A model's view of a pool, clean and attacked; embedded once and shared by the scenarios."""

from __future__ import annotations

import torch
from torch import Tensor

from attacks import Attack
from benchmark.core.embedder import Embedder
from benchmark.core.seeding import seed_everything


class Views:
    """Embeddings of a clean and an attacked pool, made when first asked for.

    Args:
        model: the embedder.
        clean: the clean pool, in [0, 1], shape (n, C, H, W), on the model's device.
        attacked: the attacked pool, same shape; the same tensor where nothing is attacked.
        labels: classes, shape (n,), on the CPU.
        ids: ids of the images, shape (n,), on the CPU.
        passes: passes over which a randomised model's outcomes are averaged; others take one.
        batch_size: images in one pass.
        seed: seed of a randomised model's draws. They depend on it, the pool and the turn alone, not on which
            scenario asked first.
        attack: the attack that made the attacked pool; None where nothing is attacked.
        objective: what the attack maximised, at its images, shape (n,), where it attacked the whole pool.
    """

    def __init__(
        self,
        model: Embedder,
        clean: Tensor,
        attacked: Tensor,
        labels: Tensor,
        ids: Tensor,
        passes: int,
        batch_size: int = 512,
        seed: int = 0,
        attack: Attack | None = None,
        objective: Tensor | None = None,
    ) -> None:
        self.attack = attack
        self.objective = None if objective is None else objective.cpu()
        self.randomised = model.randomised
        self.labels = labels
        self.ids = ids
        self.passes = passes if model.randomised else 1
        self._model = model
        self._pools = {"clean": clean, "attacked": attacked}
        self._same = clean is attacked
        self._batch_size = batch_size
        self._seed = seed
        self._embedded: dict[tuple[str, int], Tensor] = {}

    def _embed(self, pool: str, turn: int) -> Tensor:
        key = ("clean" if self._same else pool, turn % self.passes)
        if key not in self._embedded:
            if self._model.randomised:
                seed_everything("views", self._seed, *key)
            with torch.no_grad():
                parts = [self._model(batch) for batch in self._pools[pool].split(self._batch_size)]
            self._embedded[key] = torch.cat(parts).cpu()
        return self._embedded[key]

    def clean(self, turn: int = 0) -> Tensor:
        """Embeddings of the clean pool, shape (n, d), on the CPU; a pass of its own for each turn."""
        return self._embed("clean", turn)

    def attacked(self, turn: int = 0) -> Tensor:
        """Embeddings of the attacked pool, shape (n, d), on the CPU; a pass of its own for each turn."""
        return self._embed("attacked", turn)

    def again(self) -> Tensor:
        """The attacked pool embedded once more, with gradients on: as attacks see the model; shape (n, d).

        A model that answers attacks otherwise than it answers users, or the same image otherwise when it
        comes again, is found out by the difference to `attacked`.
        """
        if self._model.randomised:
            seed_everything("views", self._seed, "again")
        # With a graph a pass takes more memory, so as few images at a time as attacks take.
        batches = self._pools["attacked"].split(self._batch_size // 2)
        return torch.cat(
            [self._model(batch.clone().requires_grad_(True)).detach().cpu() for batch in batches]
        )

    def twice(self) -> tuple[Tensor, Tensor]:
        """Two passes over the first batch of the clean pool, each with draws of its own, shape (b, d)."""
        if self._model.randomised:
            seed_everything("views", self._seed, "twice")
        batch = self._pools["clean"][: self._batch_size]
        with torch.no_grad():
            return self._model(batch).cpu(), self._model(batch).cpu()
