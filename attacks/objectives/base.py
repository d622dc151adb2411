"""The contract of an objective."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Protocol, runtime_checkable

import torch
from pydantic import AfterValidator
from torch import Tensor

from attacks.problem import Problem
from benchmark.core.errors import AttackError
from benchmark.core.parameters import Parameters
from benchmark.core.registry import Registry

Score = Callable[[Tensor, Tensor], Tensor]
"""Maps embeddings, shape (b, d), and the images' indices in the pool, shape (b,), to scores, shape (b,)."""


@runtime_checkable
class PooledScore(Protocol):
    """A score that depends on the attacked embeddings of the whole pool."""

    def __call__(self, embeddings: Tensor, index: Tensor) -> Tensor:
        """Maps embeddings (b, d) of the images at `index` (b,) to scores (b,)."""

    def observe(self, index: Tensor, embeddings: Tensor) -> None:
        """Records the current embeddings, shape (b, d), of the images at `index`, shape (b,)."""


@runtime_checkable
class RatedPool(Protocol):
    """A pooled score that can say how good the attacked pool is as a whole.

    Scores of single images at different steps are not comparable, since each is measured against the pool at
    that step; these values are.
    """

    def pool_value(self) -> float:
        """Returns a number that is higher the better the observed pool is for the attack."""


@runtime_checkable
class AnnealedScore(Protocol):
    """A score whose gradients change from step to step of an attack; its values only if it is pooled.

    Values of different steps are compared, but not those of a pooled score; its final values are those of
    `anneal(0.0)`.
    """

    def anneal(self, progress: float) -> None:
        """Gets ready for a step; `progress` is the fraction of the steps before it, from 0 to below 1."""


def anneal(score: Score, progress: float) -> None:
    """Tells a score before a step which fraction of the steps is done, where its gradients depend on it."""
    if isinstance(score, AnnealedScore):
        score.anneal(progress)


def with_gradient(values: Tensor, embeddings: Tensor, gradient: Tensor) -> Tensor:
    """Returns the values, whose gradient with respect to the embeddings is the given one.

    For scores whose gradient is known: automatic differentiation would keep, and go back through, every
    similarity.

    Args:
        values: shape (b,).
        embeddings: shape (b, d).
        gradient: of each value with respect to its own embedding, shape (b, d).
    """
    result: Tensor = _WithGradient.apply(values, embeddings, gradient)
    return result


class _WithGradient(torch.autograd.Function):
    """The first argument, with the third as its gradient with respect to the second."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, embeddings: Tensor, gradient: Tensor) -> Tensor:
        """Returns the values."""
        ctx.save_for_backward(gradient)
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, *above: Tensor) -> tuple[None, Tensor, None]:
        """Returns the gradient, times that of the values."""
        (gradient,) = ctx.saved_tensors
        return None, above[0].unsqueeze(1) * gradient, None


class Objective(Parameters):
    """A scalar per image that an attack maximizes; subclasses implement `bind`.

    Attributes:
        flat_at_clean: whether its gradient is zero at the clean image, so that even one-step attacks need a
            random start.
        scenarios: names of the only scenarios that the objective suits; empty when it suits all.
        pooled: whether its score is a `PooledScore`; the optimizer then moves all images jointly.
        rates_pools: whether its score is a `RatedPool`; the best of an attack's last pools is then kept.
        capturable: whether a CUDA graph of a call of its score gives the right values when it is replayed
            for other embeddings and indices, because all that differs between calls is in tensors that
            `observe` and `anneal` change in place.
        is_margin: whether its value is above 0 exactly where Recall@1 of the query fails.
    """

    flat_at_clean: ClassVar[bool] = False
    scenarios: ClassVar[tuple[str, ...]] = ()
    pooled: ClassVar[bool] = False
    rates_pools: ClassVar[bool] = False
    capturable: ClassVar[bool] = False
    is_margin: ClassVar[bool] = False

    def bind(self, problem: Problem) -> Score:
        """Returns the score for one problem; anything constant during the attack is computed here, once."""
        raise NotImplementedError

    def bind_pooled(self, problem: Problem) -> PooledScore:
        """Returns the score of an objective that is declared as pooled.

        Raises:
            AttackError: when the score has no method `observe`.
        """
        score = self.bind(problem)
        if not isinstance(score, PooledScore):
            raise AttackError(
                f"{self.spec} is declared as pooled, but its score has no method observe(index, embeddings)."
            )
        return score


OBJECTIVES: Registry[Objective] = Registry("objective", Objective)

ObjectiveSpec = Annotated[str, AfterValidator(OBJECTIVES.canonical)]
"""The spec string of an objective, as a parameter of an attack: `pool` or `pool[neighbours=5]`."""
