"""Adversarial images made on another model."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

from pydantic import model_validator
from torch import Tensor

from attacks.base import ATTACKS, Access, Attack, AttackResult, AttackSpec
from attacks.objectives.base import OBJECTIVES
from attacks.optimisers.evaluation import evaluate, evaluate_jointly
from attacks.optimisers.pgd import GradientAttack
from attacks.problem import Problem
from benchmark.core.errors import AttackError
from benchmark.core.parameters import Parameters


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
    def _reject_nesting(self) -> Any:
        if isinstance(self.inner, Transfer):
            raise ValueError("a transferred attack cannot be transferred again; give another attack")
        return self

    @property
    def inner(self) -> Attack:
        """The attack on the source."""
        return ATTACKS.build(self.attack)

    @property
    def needs(self) -> str | None:
        """Spec of the source."""
        return self.source

    def made_on(self, source: str) -> Transfer:
        """Returns this attack with another source."""
        return self.model_copy(update={"source": source})

    def knows(self, norm: str) -> bool:
        """Whether the inner attack supports that norm's ball."""
        return self.inner.knows(norm)

    def made_for(self) -> tuple[str, ...]:
        """Names of the scenarios that the inner attack is made for."""
        return self.inner.made_for()

    def parts(self) -> list[Parameters]:
        """The attack and the inner attack."""
        return [self, *self.inner.parts()]

    def cost_per_image(self) -> float:
        """Cost of the inner attack, on the source, and one forward pass for the result."""
        return self.inner.cost_per_image() + 1.0

    def pools_in_memory(self) -> int:
        """Number of pools that the inner attack holds."""
        return self.inner.pools_in_memory()

    def perturb(self, problem: Problem) -> AttackResult:
        """Attacks the source, and scores the result on the attacked model.

        Raises:
            AttackError: when the problem's sources lack the source.
        """
        if self.source not in problem.sources:
            raise AttackError(f"{self.spec} needs the model '{self.source}', which it was not given.")
        source_problem = replace(problem, embedder=problem.sources[self.source], sources={})
        made = self.inner.run(source_problem)
        images = made.images
        if not isinstance(self.inner, GradientAttack):
            return AttackResult(images, execution=made.execution)
        objective = OBJECTIVES.build(self.inner.objective)
        batches = problem.batches(problem.perturbed)

        def fetch(batch: int) -> Tensor:
            return problem.get_batch(batches[batch], images)

        if objective.pooled:
            values = evaluate_jointly(problem, objective.bind_pooled(problem), batches, fetch)
        else:
            score = objective.bind(problem)
            values = [evaluate(problem, score, fetch(batch), index)[0] for batch, index in enumerate(batches)]
        return AttackResult(images, problem.in_order(values), execution=made.execution)
