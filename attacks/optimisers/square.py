"""The Square attack: random search by queries, without gradients."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field, PositiveInt, model_validator
from torch import Tensor

from attacks.base import ATTACKS, Access, Attack, AttackResult, AttackSpec
from attacks.geometry import where_per_image
from attacks.objectives.base import OBJECTIVES, PooledScore, Score
from attacks.optimisers.evaluation import evaluate
from attacks.optimisers.pgd import GradientAttack
from attacks.optimisers.windows import WINDOWS, Windows
from attacks.problem import Problem
from attacks.result_builder import ResultBuilder
from attacks.save_point import Stateful
from attacks.watch import Continued
from benchmark.core.errors import AttackError
from benchmark.core.parameters import Number, Parameters
from benchmark.core.seeding import noise_per_image

HALVINGS = (10, 50, 200, 1000, 2000, 4000, 6000, 8000)
"""Queries, of REFERENCE, after which the fraction of changed pixels is halved (section 3.1 of the paper)."""

REFERENCE = 10_000
"""Number of queries that the schedule is written for; other numbers stretch it."""

RESCORE_EVERY = 10
"""Queries after which the current images of a randomized model are scored again."""


@ATTACKS.register("square")
class Square(GradientAttack):
    """Square attack (Andriushchenko et al. 2020, arXiv 1912.00049): random search over square windows.

    It uses embeddings only, so gradient masking does not stop it. A change is kept, image by image, where the
    objective rises.

    The search may start from the images of a white-box attack: what it then gains is what gradients have
    missed, and it spends no queries on what they find. On a model without gradients it starts as usual.

    Attributes:
        queries: number of times an image is embedded, the start included.
        p_init: fraction of the pixels that the first windows cover. The paper has 0.05 in L_inf and 0.1 in L2
            for undefended models of ImageNet, 0.3 and 0.8 for defended ones of small images; AutoAttack has
            0.8 throughout. After another attack smaller windows keep most of what that has found.
        start: spec of the attack whose images the search starts from; the paper's start when not given.
    """

    access: ClassVar[Access] = "black"

    queries: PositiveInt = 500
    p_init: Annotated[Number, Field(gt=0, le=1)] = 0.8
    start: AttackSpec | None = None

    @model_validator(mode="after")
    def _reject_other_models(self) -> Any:
        if self.first is not None and self.first.needs is not None:
            raise ValueError(f"start={self.start} needs another model; give an attack on the model itself")
        return self

    @property
    def first(self) -> Attack | None:
        """The attack whose images the search starts from."""
        return None if self.start is None else ATTACKS.build(self.start)

    def without_gradients(self) -> Square:
        """Returns the search from the usual start where the attack before it needs gradients."""
        first = self.first
        needs_gradients = first is not None and first.without_gradients() != first
        return self.model_copy(update={"start": None}) if needs_gradients else self

    def knows(self, norm: str) -> bool:
        """Whether the attack and the one that it starts from support that norm's ball."""
        return super().knows(norm) and (self.first is None or self.first.knows(norm))

    def parts(self) -> list[Parameters]:
        """The attack, its objective, and the attack that it starts from."""
        return [*super().parts(), *([] if self.first is None else self.first.parts())]

    def cost_per_image(self) -> float:
        """Cost of one forward pass per query, after the attack that it starts from."""
        return self.queries + (0.0 if self.first is None else self.first.cost_per_image())

    def pools_in_memory(self) -> int:
        """One for the result; for pooled objectives also the clean images and bounds of all batches.

        One more for the images that it starts from.
        """
        own = 4 if OBJECTIVES.build(self.objective).pooled else 1
        return own if self.first is None else max(own + 1, self.first.pools_in_memory())

    def perturb(self, problem: Problem) -> AttackResult:
        """Runs the search.

        Raises:
            AttackError: when a score is not finite.
        """
        queries = (self.queries - 1) * len(problem.batches(problem.perturbed))
        first, steps = (None, 0) if self.first is None else self._run(self.first, problem, queries)
        with torch.no_grad():
            return _Search(problem, self, steps + queries, first).run()

    @staticmethod
    def _run(first: Attack, problem: Problem, queries: int) -> tuple[Tensor, int]:
        """Returns the images of the attack before the search, and the number of its steps."""
        watch = problem.watch
        problem.watch = continued = Continued(watch, queries)
        try:
            return first.run(problem).images, continued.first
        finally:
            problem.watch = watch

    def window_fraction(self, query: int) -> float:
        """Returns the fraction of the pixels that a query's window covers; query 0 is the start."""
        halvings = bisect_left(HALVINGS, query * REFERENCE // self.queries)
        return self.p_init / 2**halvings


@dataclass
class _BatchState(Stateful):
    """The search state of one batch.

    Attributes:
        index: indices of the images in the pool, shape (b,).
        draws: random numbers in [-1, 1] of all queries, shape (b, queries - 1, numbers per query).
        images: the best images so far, shape (b, C, H, W).
        values: their scores, shape (b,).
        embeddings: their embeddings, shape (b, d).
        windows: proposes changes; None if it is made again for each query.
    """

    index: Tensor
    draws: Tensor
    images: Tensor
    values: Tensor
    embeddings: Tensor
    windows: Windows | None

    constant: ClassVar[tuple[str, ...]] = ("index", "draws", "windows")


class _Search(Stateful):
    """Random search over the perturbed images of a problem, from given images or the paper's start.

    A pooled objective is searched in all batches at once, query by query. The pool's embeddings change, and
    nearly always so that the score of an unchanged image rises; a score of many queries ago would thus accept
    worse candidates. So the embeddings of the current images are kept, and scored against the latest pool
    before each comparison, which takes no forward pass.
    """

    constant: ClassVar[tuple[str, ...]] = (
        "problem",
        "attack",
        "first",
        "pooled",
        "score",
        "noisy",
        "_builder",
        "_steps",
    )

    def __init__(self, problem: Problem, attack: Square, steps: int, first: Tensor | None = None) -> None:
        self.problem = problem
        self.attack = attack
        self.first = first
        objective = OBJECTIVES.build(attack.objective)
        self.pooled: PooledScore | None = objective.bind_pooled(problem) if objective.pooled else None
        self.score: Score = objective.bind(problem) if self.pooled is None else self.pooled
        self.noisy = problem.eot_samples > 1
        # On the device, looked at once, after the queries: a look at each query would wait for the device.
        self._finite = torch.ones((), dtype=torch.bool, device=problem.device)
        self._builder = ResultBuilder(problem)
        self._steps = steps

    def run(self) -> AttackResult:
        """Searches, and returns the attacked images with their scores."""
        builder = self._builder
        batches = list(range(len(builder.batches)))
        for group in builder.remaining([batches] if self.pooled else [[batch] for batch in batches]):
            states = self._search([builder.batches[batch] for batch in group])
            for batch in group:
                state = states.pop(0)
                builder.write(batch, state.images, state.values)
        return builder.result()

    def _search(self, batches: list[Tensor]) -> list[_BatchState]:
        states = [self._start(index) for index in batches]
        self._observe(states)
        parts = [self, *states, *([self.pooled] if self.pooled else [])]
        for query in self._builder.steps(self.attack.queries - 1, parts):
            for state in states:
                self._query(state, query + 1)
            self._observe(states)
        for state in states:
            if self.noisy or self.problem.search_is_rounded:  # the maximum of noisy scores is biased upwards
                self._rescore(state, search=False)
        self._observe(states)
        if not self._finite:
            raise AttackError(
                "A score of the model's embeddings is not a number; attacks cannot evaluate the model."
            )
        for state in states:
            if self.pooled and self.noisy:
                images = state.images.to(self.problem.device)
                state.values, _ = evaluate(self.problem, self.score, images, state.index)
            elif self.pooled:
                state.values = self.score(state.embeddings, state.index)
        return states

    def _offload(self, images: Tensor) -> Tensor:
        """Offloads a batch between queries if it waits for others."""
        return self.problem.offload(images) if self.pooled else images

    def _windows(self, index: Tensor) -> Windows:
        return WINDOWS[self.problem.norm](self.problem.ball(index))

    def _start(self, index: Tensor) -> _BatchState:
        problem = self.problem
        windows = self._windows(index)
        clean = windows.ball.clean
        count = windows.start_draws + (self.attack.queries - 1) * windows.draws
        draws = noise_per_image((count,), problem.ids_of(index), problem.seed, "square").to(clean.dtype)
        if self.first is None:
            images = windows.start(draws[:, : windows.start_draws])
        else:
            images = problem.get_batch(index, self.first)
        query_draws = draws[:, windows.start_draws :].view(len(index), -1, windows.draws)
        values, embeddings = self._evaluate(images, index)
        # Windows take the memory of three pools if they are kept for all batches.
        discard = self.pooled and problem.is_offloaded
        return _BatchState(
            index, query_draws, self._offload(images), values, embeddings, None if discard else windows
        )

    def _query(self, state: _BatchState, query: int) -> None:
        """Tries one window of each image, and keeps the change where the score rises."""
        if self.noisy and query % RESCORE_EVERY == 0:
            self._rescore(state)
        elif self.pooled:
            state.values = self.score(state.embeddings, state.index)
        windows = state.windows or self._windows(state.index)
        side = windows.side(self.attack.window_fraction(query))
        current = state.images.to(self.problem.device)
        images = windows.propose(current, side, state.draws[:, query - 1])
        values, embeddings = self._evaluate(images, state.index)
        better = values > state.values
        state.images = self._offload(where_per_image(better, images, current))
        state.values = torch.where(better, values, state.values)
        state.embeddings = where_per_image(better, embeddings, state.embeddings)
        self.problem.watch.step(self._steps, state.values)

    def _rescore(self, state: _BatchState, search: bool = True) -> None:
        images = state.images.to(self.problem.device)
        state.values, state.embeddings = self._evaluate(images, state.index, search)

    def _evaluate(self, images: Tensor, index: Tensor, search: bool = True) -> tuple[Tensor, Tensor]:
        values, embeddings = evaluate(self.problem, self.score, images, index, search)
        if self.pooled and self.noisy:  # by the mean embedding, as the current images are scored
            values = self.score(embeddings, index)
        self._finite &= torch.isfinite(values).all()
        return values, embeddings

    def _observe(self, states: list[_BatchState]) -> None:
        if self.pooled:  # after the query: the order of batches must not matter
            for state in states:
                self.pooled.observe(state.index, state.embeddings)
