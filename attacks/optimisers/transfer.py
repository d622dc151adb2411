"""Another model's adversarial images."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, ClassVar

import torch
from pydantic import AfterValidator, model_validator

from attacks.base import ATTACKS, Access, Attack, AttackResult
from attacks.objectives.base import OBJECTIVES
from attacks.optimisers.ascent import evaluate, score_together
from attacks.optimisers.pgd import GradientAttack
from attacks.problem import Problem
from benchmark.core.errors import AttackError
from benchmark.core.parameters import Parameters

AttackSpec = Annotated[str, AfterValidator(ATTACKS.canonical)]
"""The spec string of an attack, as a parameter of another."""


@ATTACKS.register("transfer")
class Transfer(Attack):
    """Adversarial images made on another model of the same cell (Szegedy et al. 2014, arXiv 1312.6199).

    Attributes:
        source: spec of the defense whose model they are made on; it is trained when it has no row of its own.
        attack: spec of the attack that makes them there.
    """

    always_written: ClassVar[tuple[str, ...]] = ("source", "attack")
    access: ClassVar[Access] = "transfer"

    source: str = "vanilla"
    attack: AttackSpec = "pgd_decay[objective=neighbour]"

    @model_validator(mode="after")
    def _one_hop(self) -> Any:
        if isinstance(self.inner, Transfer):
            raise ValueError("an attack is transferred once; give an attack by gradient or by queries")
        return self

    @property
    def inner(self) -> Attack:
        """The attack on the source."""
        return ATTACKS.build(self.attack)

    @property
    def needs(self) -> str | None:
        """The source."""
        return self.source

    def knows(self, norm: str) -> bool:
        """Whether the inner attack can keep to that norm's ball."""
        return self.inner.knows(norm)

    def made_for(self) -> tuple[str, ...]:
        """The scenarios that the inner attack is made for."""
        return self.inner.made_for()

    def parts(self) -> list[Parameters]:
        """The attack and the one on the source."""
        return [self, *self.inner.parts()]

    def passes_per_image(self) -> float:
        """Those of the inner attack, on the source, and a look at the result."""
        return self.inner.passes_per_image() + 1.0

    def pools_held(self) -> int:
        """What the inner attack holds."""
        return self.inner.pools_held()

    def perturb(self, problem: Problem) -> AttackResult:
        """Attacks the source, and scores what was found on the model itself.

        Raises:
            AttackError: when the problem does not hold the source.
        """
        if self.source not in problem.sources:
            raise AttackError(f"{self.spec} needs the model '{self.source}', which it was not given.")
        there = replace(problem, embedder=problem.sources[self.source], sources={})
        images = self.inner.run(there).images
        if not isinstance(self.inner, GradientAttack):
            return AttackResult(images)
        score = OBJECTIVES.build(self.inner.objective).bind(problem)
        if hasattr(score, "observe"):
            return AttackResult(images, score_together(problem, score, images))
        values = [
            evaluate(problem, score, problem.get_batch(index, images), index)[0]
            for index in problem.batches(problem.perturbed)
        ]
        return AttackResult(images, torch.cat(values))
