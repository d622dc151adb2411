"""The contract of objectives of attacks: one finite value an image, with a gradient."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from attacks import Objective, Problem
from attacks.objectives.base import AnnealedScore, PooledScore, Score
from attacks.objectives.neighbour import MarginScore
from benchmark.core.errors import AttackError
from benchmark.core.seeding import seed_everything
from benchmark.evaluation.conformance.contract import Contract
from benchmark.evaluation.conformance.contract_check import SAME_ADVICE, ContractError, NotApplicableError
from benchmark.evaluation.conformance.model_state import changed_parts, model_state
from benchmark.evaluation.conformance.pool import Pool
from benchmark.evaluation.scenario import SCENARIOS


@dataclass(frozen=True)
class ObjectiveFixture:
    """An objective, with a pool to bind it to.

    Attributes:
        objective: the objective under test.
        pool: the images.
    """

    objective: Objective
    pool: Pool = field(default_factory=Pool)

    def moved(self, problem: Problem) -> Tensor:
        """Embeddings of slightly changed images, which require a gradient, shape (n, d)."""
        noise = torch.randn(problem.clean.shape, generator=torch.Generator().manual_seed(3))
        moved = torch.nn.functional.normalize(problem.clean + 0.1 * noise)
        return moved.detach().requires_grad_(True)

    def values(self, problem: Problem, embeddings: Tensor, index: Tensor) -> Tensor:
        """Binds the objective under a fixed seed and computes its values.

        Raises:
            ContractError: when a pooled objective's score has no method `observe`.
        """
        return self.score(problem, embeddings, index)(embeddings, index)

    def score(self, problem: Problem, embeddings: Tensor, index: Tensor) -> Score:
        """Binds the objective under a fixed seed; where it is pooled, its score has observed the embeddings.

        Raises:
            ContractError: when a pooled objective's score has no method `observe`.
        """
        seed_everything("conformance-objective")
        if not self.objective.pooled:
            return self.objective.bind(problem)
        try:
            score: PooledScore = self.objective.bind_pooled(problem)
        except AttackError as error:
            raise ContractError(str(error).rstrip(".")) from error
        score.observe(index, embeddings.detach())
        return score

    def gradient(self, problem: Problem, embeddings: Tensor) -> Tensor:
        """Computes the gradient of the sum of the values at embeddings, shape (n, d).

        Raises:
            ContractError: when there is none.
        """
        given = embeddings.detach().clone().requires_grad_(True)
        total = self.values(problem, given, problem.all_indices).sum()
        if not total.requires_grad:
            raise ContractError("the values carry no gradient")
        (found,) = torch.autograd.grad(total, given, allow_unused=True)
        if found is None:
            raise ContractError("the values do not depend on the embeddings")
        return found


OBJECTIVE: Contract[Objective, ObjectiveFixture] = Contract(
    Objective, lambda objective, folders: ObjectiveFixture(objective)
)


@OBJECTIVE.check(
    "The scenarios that it is made for are known.",
    "Write names of scenarios, or leave `scenarios` empty.",
)
def declarations(fixture: ObjectiveFixture) -> None:
    """Checks the class's attributes."""
    unknown = [name for name in fixture.objective.scenarios if name not in SCENARIOS.names()]
    if unknown:
        raise ContractError(f"there is no scenario '{unknown[0]}'")


@OBJECTIVE.check(
    "bind(problem) returns a score that gives one finite value for each image.",
    "Return a function of (embeddings, index) whose result has shape (b,); compare embeddings of unit "
    "length, and keep logarithms and divisions away from zero.",
)
def values(fixture: ObjectiveFixture) -> None:
    """Checks shape and range of the values, at the clean images and near them."""
    problem = fixture.pool.problem()
    index = problem.all_indices
    for where, embeddings in (("clean", problem.clean), ("moved", fixture.moved(problem).detach())):
        found: Any = fixture.values(problem, embeddings, index)
        if not isinstance(found, Tensor) or found.shape != index.shape:
            shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise ContractError(f"for {len(index)} {where} images it gives {shape}")
        if not torch.isfinite(found).all():
            raise ContractError(f"at {where} images a value is not finite")


@OBJECTIVE.check(
    "A finite gradient reaches the embeddings, at clean images and near them, where it is not zero.",
    "Compute the values from the embeddings that are given, without detach(), argmax or rounding, and keep "
    "square roots, logarithms and divisions away from zero.",
    after=("values",),
)
def gradient(fixture: ObjectiveFixture) -> None:
    """Checks the gradient that attacks ascend."""
    problem = fixture.pool.problem()
    moved = fixture.gradient(problem, fixture.moved(problem))
    if not torch.isfinite(moved).all():
        raise ContractError("the gradient is not finite")
    if not moved.any():
        raise ContractError("the gradient is zero for every image")
    if not torch.isfinite(fixture.gradient(problem, problem.clean)).all():
        raise ContractError("the gradient at clean images is not finite")


@OBJECTIVE.check(
    "The value of an image depends on no other image of its batch, unless the objective is pooled.",
    "Use `index` to find what belongs to each image, and set pooled = True when the whole attacked pool "
    "counts.",
    after=("values",),
    exempt=lambda objective: "it is pooled" if objective.pooled else None,
)
def any_batch(fixture: ObjectiveFixture) -> None:
    """Checks that the order and the size of batches do not change the attack."""
    problem = fixture.pool.problem()
    embeddings, index = fixture.moved(problem).detach(), problem.all_indices
    whole = fixture.values(problem, embeddings, index)
    some = torch.tensor([17, 3, 8])
    apart = float((fixture.values(problem, embeddings[some], some) - whole[some]).abs().max())
    if not apart <= 1e-4 * (1 + float(whole.abs().max())):
        raise ContractError(f"in another batch a value differs by {apart:.2g}")


@OBJECTIVE.check(
    "flat_at_clean is True when the gradient is zero at the clean images.",
    "Set flat_at_clean = True, so that even attacks of one step take a random start.",
    after=("gradient",),
)
def flat_at_clean(fixture: ObjectiveFixture) -> None:
    """Checks the declaration, without which an attack from the clean image does not move."""
    problem = fixture.pool.problem()
    found = fixture.gradient(problem, problem.clean)
    if float(found.abs().max()) < 1e-6 and not fixture.objective.flat_at_clean:
        raise ContractError("the gradient is zero at every clean image, but flat_at_clean is False")


@OBJECTIVE.check(
    "is_margin is True only where the value is positive exactly at the images whose R@1 fails.",
    "Set is_margin = False, or return the largest cosine with another class minus that with the own.",
    after=("values",),
    exempt=lambda objective: None if objective.is_margin else "is_margin is False",
)
def is_margin(fixture: ObjectiveFixture) -> None:
    """Checks the declaration; otherwise every model would fail the check `objective_disagrees`."""
    problem = fixture.pool.problem()
    generator = torch.Generator().manual_seed(4)
    # Far from the clean images, where both outcomes are frequent.
    far = problem.clean + 0.5 * torch.randn(problem.clean.shape, generator=generator)
    embeddings, index = torch.nn.functional.normalize(far), problem.all_indices
    margin = MarginScore(problem, 1.0)(embeddings, index)
    found = fixture.values(problem, embeddings, index)
    wrong = ((found > 0) != (margin > 0)) & (margin.abs() > 1e-4)
    if wrong.any():
        raise ContractError(
            f"at {int(wrong.sum())} of {len(index)} images the value has another sign than R@1's margin"
        )


@OBJECTIVE.check(
    "anneal(progress) changes gradients, which stay finite, and no values, unless the objective is pooled.",
    "Compute values, of which an attack keeps the best, without what depends on the step.",
    after=("values",),
)
def anneals(fixture: ObjectiveFixture) -> None:
    """Checks the values at the first step and after the others."""
    problem = fixture.pool.problem()
    moved, index = fixture.moved(problem), problem.all_indices
    score = fixture.score(problem, moved, index)
    if not isinstance(score, AnnealedScore):
        raise NotApplicableError("its score has no method anneal")
    expected = score(moved.detach(), index)
    for progress in (0.0, 0.9):
        score.anneal(progress)
        found = score(moved, index)
        (gradient,) = torch.autograd.grad(found.sum(), moved)
        if not torch.isfinite(gradient).all():
            raise ContractError(f"after anneal({progress}) a gradient is not finite")
        for values in () if fixture.objective.pooled else (found.detach(), score(moved.detach(), index)):
            apart = float((values - expected).abs().max())
            if not apart <= 1e-4 * (1 + float(expected.abs().max())):
                raise ContractError(f"after anneal({progress}) a value differs by {apart:.2g}")


@OBJECTIVE.check("The same seed gives the same values.", SAME_ADVICE, after=("values",))
def same_seed(fixture: ObjectiveFixture) -> None:
    """Checks that an objective is reproducible."""
    problem = fixture.pool.problem()
    first, second = (fixture.values(problem, problem.clean, problem.all_indices) for _ in range(2))
    if not torch.equal(first, second):
        raise ContractError("two calls under one seed give different values")


@OBJECTIVE.check(
    "The problem's images and model stay as they were.",
    "Clone before a change in place, and take no gradient of the model.",
    after=("values",),
)
def leaves_problem(fixture: ObjectiveFixture) -> None:
    """Checks the problem after the objective was bound and called."""
    problem = fixture.pool.problem()
    clean, state = problem.clean.clone(), model_state(problem.embedder)
    fixture.values(problem, fixture.moved(problem), problem.all_indices)
    for name in changed_parts(state, model_state(problem.embedder)):
        raise ContractError(f"it changes {name} of the model")
    if not torch.equal(problem.images, fixture.pool.images) or not torch.equal(problem.clean, clean):  # type: ignore[arg-type]
        raise ContractError("it changes the clean images or their embeddings in place")


@OBJECTIVE.check_settings(after=("values",))
def use(fixture: ObjectiveFixture) -> Callable[[], object]:
    """Prepares the call that is checked."""
    problem = fixture.pool.problem()
    return lambda: fixture.objective.bind(problem)
