"""The Square attack: a search by queries, without a gradient."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from pydantic import Field, PositiveInt
from torch import Tensor

from attacks.base import ATTACKS, Access, AttackResult
from attacks.objectives.base import OBJECTIVES, Objective
from attacks.optimisers.ascent import evaluate
from attacks.optimisers.pgd import GradientAttack
from attacks.optimisers.updates import Ball
from attacks.optimisers.windows import WINDOWS, Windows
from attacks.problem import Problem
from benchmark.core.errors import AttackError
from benchmark.core.parameters import Number
from benchmark.core.seeding import noise_per_image

HALVINGS = (10, 50, 200, 1000, 2000, 4000, 6000, 8000)
"""The queries, of REFERENCE, after which the share of changed pixels is halved (section 3.1 of the paper)."""

REFERENCE = 10_000
"""The number of queries that the schedule is written for; others stretch it."""

FRESH = 10
"""A randomised model's incumbents are scored anew once in so many queries."""


@ATTACKS.register("square")
class Square(GradientAttack):
    """Square attack (Andriushchenko et al. 2020, arXiv 1912.00049): random search over square windows.

    It sees embeddings alone, so a masked gradient does not stop it. A change is kept, image by image, where
    the objective rises.

    Attributes:
        queries: how often an image is embedded, the start included.
        p_init: share of the pixels that the first windows cover. The paper has 0.05 in L_inf and 0.1 in L2
            for undefended models of ImageNet, 0.3 and 0.8 for defended ones of small images; AutoAttack has
            0.8 throughout.
    """

    access: ClassVar[Access] = "black"

    queries: PositiveInt = 500
    p_init: Annotated[Number, Field(gt=0, le=1)] = 0.8

    def passes_per_image(self) -> float:
        """One a query."""
        return float(self.queries)

    def pools_held(self) -> int:
        """The attacked pool; where all images move together, also the bounds between which they do."""
        return 4 if OBJECTIVES.build(self.objective).pooled else 1

    def perturb(self, problem: Problem) -> AttackResult:
        """Searches.

        Raises:
            AttackError: when a score is not a number.
        """
        with torch.no_grad():
            return _Search(problem, self).run()

    def share(self, query: int) -> float:
        """Share of the pixels that a query's window covers; queries count from 0, the start."""
        reached = bisect_left(HALVINGS, query * REFERENCE // self.queries)
        return self.p_init / 2**reached


@dataclass
class _BatchState:
    """A batch on its way: the best images so far, their scores and embeddings, and what moves them.

    Attributes:
        windows: how it is changed; None while it is made anew for each query.
    """

    index: Tensor
    draws: Tensor
    images: Tensor
    values: Tensor
    embeddings: Tensor
    windows: Windows | None


class _Search:
    """Random search over the problem's targets.

    A pooled objective is searched in all batches at once, query by query. Its bank moves, and nearly always
    so that a resting image's score rises; a score of many queries ago would thus let worse candidates pass.
    So the incumbents' embeddings are kept, and scored against the latest bank before each comparison, which
    takes no pass.
    """

    def __init__(self, problem: Problem, attack: Square) -> None:
        self.problem = problem
        self.attack = attack
        self.objective: Objective = OBJECTIVES.build(attack.objective)
        self.score = self.objective.bind(problem)
        self.noisy = problem.eot_samples > 1

    def run(self) -> AttackResult:
        """Searches, and returns the images with their scores."""
        batches = self.problem.batches(self.problem.perturbed)
        groups = [batches] if self.objective.pooled else [[index] for index in batches]
        values = []
        images: Tensor | None = None
        for group in groups:
            parties = self._search(group)
            if images is None:
                images = self.problem.empty_pool()
            while parties:
                party = parties.pop(0)
                self.problem.write_batch(images, party.index, party.images)
                values.append(party.values)
        assert images is not None
        return AttackResult(images, torch.cat(values))

    def _search(self, batches: list[Tensor]) -> list[_BatchState]:
        parties = [self._start(index) for index in batches]
        self._observe(parties)
        for query in range(1, self.attack.queries):
            for party in parties:
                self._query(party, query)
            self._observe(parties)
        for party in parties:
            if self.noisy:  # the best of noisy scores is a lucky one
                self._refresh(party)
        self._observe(parties)
        for party in parties:
            if self.objective.pooled and self.noisy:
                images = party.images.to(self.problem.device)
                party.values, _ = evaluate(self.problem, self.score, images, party.index)
            elif self.objective.pooled:
                party.values = self.score(party.embeddings, party.index)
        return parties

    def _away(self, images: Tensor) -> Tensor:
        """What a batch keeps from query to query."""
        return self.problem.offload(images) if self.objective.pooled else images

    def _windows(self, index: Tensor) -> Windows:
        problem = self.problem
        return WINDOWS[problem.norm](Ball(problem.get_batch(index), problem.norm, problem.eps))

    def _start(self, index: Tensor) -> _BatchState:
        problem = self.problem
        windows = self._windows(index)
        clean = windows.ball.clean
        count = windows.start_draws + (self.attack.queries - 1) * windows.draws
        draws = noise_per_image((count,), problem.ids[index.cpu()], problem.seed, "square").to(clean)
        images = windows.start(draws[:, : windows.start_draws])
        rest = draws[:, windows.start_draws :].view(len(index), -1, windows.draws)
        values, embeddings = self._look(images, index)
        # Windows are three pools where all batches wait for each other.
        waits = self.objective.pooled and problem.is_offloaded
        return _BatchState(index, rest, self._away(images), values, embeddings, None if waits else windows)

    def _query(self, party: _BatchState, query: int) -> None:
        """Tries one window of each image, and keeps what is better."""
        if self.noisy and query % FRESH == 0:
            self._refresh(party)
        elif self.objective.pooled:
            party.values = self.score(party.embeddings, party.index)
        windows = party.windows or self._windows(party.index)
        side = windows.side(self.attack.share(query))
        before = party.images.to(self.problem.device)
        images = windows.propose(before, side, party.draws[:, query - 1])
        values, embeddings = self._look(images, party.index)
        better = values > party.values
        party.images = self._away(torch.where(better.view(-1, 1, 1, 1), images, before))
        party.values = torch.where(better, values, party.values)
        party.embeddings = torch.where(better.unsqueeze(1), embeddings, party.embeddings)

    def _refresh(self, party: _BatchState) -> None:
        party.values, party.embeddings = self._look(party.images.to(self.problem.device), party.index)

    def _look(self, images: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        values, embeddings = evaluate(self.problem, self.score, images, index)
        if self.objective.pooled and self.noisy:  # as the incumbents' are scored: by the mean embedding
            values = self.score(embeddings, index)
        if not torch.isfinite(values).all():
            raise AttackError("The score of the model's embeddings is not a number; no attack can judge it.")
        return values, embeddings

    def _observe(self, parties: list[_BatchState]) -> None:
        if self.objective.pooled:  # after the query: the order of batches must not matter
            for party in parties:
                self.score.observe(party.index, party.embeddings)  # type: ignore[attr-defined]
