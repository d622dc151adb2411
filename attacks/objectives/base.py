"""What an objective is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, ClassVar

from pydantic import AfterValidator
from torch import Tensor

from attacks.problem import Problem
from benchmark.core.parameters import Parameters
from benchmark.core.registry import Registry

Score = Callable[[Tensor, Tensor], Tensor]
"""Maps embeddings, shape (b, d), and the images' indices in the pool, shape (b,), to scores, shape (b,)."""


class Objective(Parameters):
    """A scalar an image that an attack maximises; subclasses implement `bind`.

    Attributes:
        flat_at_clean: whether its gradient is zero at the clean image, so that even one-step attacks must
            start elsewhere.
        scenarios: names of the scenarios that it is made for, where it says nothing in others; else empty.
        pooled: whether it looks at the attacked embeddings of the whole pool; the optimiser then moves all
            images together, and the bound score has a method `observe(index, embeddings)`.
    """

    flat_at_clean: ClassVar[bool] = False
    scenarios: ClassVar[tuple[str, ...]] = ()
    pooled: ClassVar[bool] = False

    def bind(self, problem: Problem) -> Score:
        """The score for one problem; whatever is fixed during the attack is computed here, once."""
        raise NotImplementedError


OBJECTIVES: Registry[Objective] = Registry("objective", Objective)


ObjectiveSpec = Annotated[str, AfterValidator(OBJECTIVES.canonical)]
"""The spec string of an objective, as a parameter of an attack: `pool` or `pool[neighbours=5]`."""
