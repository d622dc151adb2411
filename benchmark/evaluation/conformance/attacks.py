"""The contract of attacks: the ball, what is left unchanged, seeds, the attacked fraction and the cost."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, get_args

import torch

from attacks import Attack, AttackResult, Problem
from attacks.base import Access
from attacks.geometry import NORMS
from benchmark.core.embedder import Embedder
from benchmark.core.errors import AttackError
from benchmark.core.seeding import seed_everything
from benchmark.evaluation.conformance.contract import Contract
from benchmark.evaluation.conformance.contract_check import ContractError
from benchmark.evaluation.conformance.model_state import changed_parts, model_state
from benchmark.evaluation.conformance.pool import COLOR, Noisy, Pool, WithoutGradient
from benchmark.evaluation.scenario import SCENARIOS
from benchmark.models import PassCounter, count_flops

COST_TOLERANCE = 0.1
"""Relative difference of the declared and the counted cost that passes."""


@dataclass(frozen=True)
class AttackFixture:
    """An attack, with a pool to attack.

    Attributes:
        attack: the attack under test.
        pool: the images.
    """

    attack: Attack
    pool: Pool = field(default_factory=Pool)

    @property
    def norms(self) -> list[str]:
        """The norms that the attack supports."""
        return [norm for norm in NORMS if self.attack.knows(norm)]

    def problem(self, norm: str | None = None, model: Embedder | None = None, **others: Any) -> Problem:
        """Builds a task, by default in the first norm that the attack supports, with the models it needs."""
        needed = self.attack.needs
        sources = {} if needed is None else {needed: self.pool.model(1)}
        return self.pool.problem(norm or self.norms[0], model, sources=sources, **others)

    def run(self, problem: Problem) -> AttackResult:
        """Runs the attack under a fixed seed.

        Raises:
            ContractError: when the result does not pass the assertions of every attack.
        """
        seed_everything("conformance-attack")
        try:
            return self.attack.run(problem)
        except AttackError as error:
            raise ContractError(f"in the norm {problem.norm}, {str(error).rstrip('.')}") from error


ATTACK: Contract[Attack, AttackFixture] = Contract(Attack, lambda attack, folders: AttackFixture(attack))

_RUNS = ("declarations", "perturbs")


@ATTACK.check(
    "`access`, `norms` and the scenarios that it is made for are known.",
    f"Use {', '.join(get_args(Access))} for access, {' and '.join(NORMS)} for norms, and names of scenarios.",
)
def declarations(fixture: AttackFixture) -> None:
    """Checks the class's attributes."""
    attack = fixture.attack
    if attack.access not in get_args(Access):
        raise ContractError(f"access is '{attack.access}'")
    if not fixture.norms or set(attack.norms) - set(NORMS):
        raise ContractError(f"norms is {attack.norms}")
    unknown = [name for name in attack.made_for() if name not in SCENARIOS.names()]
    if unknown:
        raise ContractError(f"there is no scenario '{unknown[0]}'")


@ATTACK.check(
    "Attacked images are in the ball and in [0, 1], in each norm; values of the objective are finite.",
    "Return AttackResult(images) with float32 images that problem.ball(index).project(...) has projected, "
    "and objective values of shape (t,) or none.",
    after=("declarations",),
)
def perturbs(fixture: AttackFixture) -> None:
    """Checks the result in each norm that the attack supports."""
    for norm in fixture.norms:
        result = fixture.run(fixture.problem(norm))
        if result.images.dtype != torch.float32 or result.images.requires_grad:
            kind = "with a gradient" if result.images.requires_grad else result.images.dtype
            raise ContractError(f"in the norm {norm}, the images are {kind}")
        values, count = result.objective, len(fixture.pool.labels)
        if values is not None and (values.shape != (count,) or not torch.isfinite(values).all()):
            shape = tuple(values.shape)
            raise ContractError(
                f"in the norm {norm}, objective has shape {shape} or a value that is not finite"
            )
        if result.zero_gradient is not None and not 0 <= result.zero_gradient <= 1:
            raise ContractError(f"zero_gradient is {result.zero_gradient}")


@ATTACK.check(
    "The clean images, labels and ids stay as they were.",
    "Clone before a change in place: problem.get_batch(index).clone(); write into problem.empty_pool().",
    after=("declarations",),
)
def leaves_images(fixture: AttackFixture) -> None:
    """Checks the values of the problem's tensors after the attack."""
    problem = fixture.problem()
    seed_everything("conformance-attack")
    fixture.attack.perturb(problem)
    for name in ("images", "labels", "ids"):
        if not torch.equal(getattr(problem, name), getattr(fixture.pool, name)):
            raise ContractError(f"it changes the clean {name} in place")


@ATTACK.check(
    "The model stays as it was: its mode, weights, gradients and requires_grad.",
    "Take gradients by torch.autograd.grad with respect to the images, in place of backward().",
    after=_RUNS,
)
def leaves_model(fixture: AttackFixture) -> None:
    """Checks the model's state after the attack."""
    model = fixture.pool.model()
    before = model_state(model)
    fixture.run(fixture.problem(model=model))
    for name in changed_parts(before, model_state(model)):
        raise ContractError(f"it changes {name}")


@ATTACK.check_settings(after=_RUNS)
def use(fixture: AttackFixture) -> Callable[[], object]:
    """Prepares the call that is checked."""
    problem = fixture.problem()
    return lambda: fixture.attack.run(problem)


@ATTACK.check(
    "The same seed gives the same images.",
    "Draw with ball.random_start(ids, problem.seed, ...) or noise_per_image, never from the clock.",
    after=_RUNS,
)
def same_seed(fixture: AttackFixture) -> None:
    """Checks that an attack is reproducible."""
    first, second = (fixture.run(fixture.problem()).images for _ in range(2))
    if not torch.equal(first, second):
        raise ContractError("two runs under one seed give different images")


@ATTACK.check(
    "The global random generators do not decide the images, but `problem.seed` and the ids do.",
    "Draw with ball.random_start(ids, problem.seed, ...), noise_per_image or a torch.Generator of your own, "
    "seeded with problem.seed.",
    after=("same_seed",),
)
def own_draws(fixture: AttackFixture) -> None:
    """Checks that an attack gives the same images whatever a process drew before it."""
    found = []
    for seed in (1, 2):
        problem = fixture.problem()  # which seeds the generators, to build its model
        seed_everything("conformance-attack", seed)
        found.append(fixture.attack.perturb(problem).images)
    if not torch.equal(*found):
        raise ContractError("two states of the global generators give different images")


@ATTACK.check(
    "Only the images of `problem.attacked` are changed.",
    "Change problem.perturbed only: start from problem.empty_pool(), which copies the others.",
    after=_RUNS,
)
def attacked_only(fixture: AttackFixture) -> None:
    """Checks an attack on a fraction of the pool."""
    attacked = torch.tensor([1, 4, 9, 14, 22])
    problem = fixture.problem(attacked=attacked)
    seed_everything("conformance-attack")
    result = fixture.attack.perturb(problem)
    changed = (result.images != fixture.pool.images).flatten(1).any(1).nonzero().squeeze(1)
    wrong = sorted(set(changed.tolist()) - set(attacked.tolist()))
    if wrong:
        raise ContractError(f"{len(wrong)} other images are changed, the first of them image {wrong[0]}")
    if result.objective is not None and result.objective.shape != attacked.shape:
        shape = tuple(result.objective.shape)
        raise ContractError(f"for {len(attacked)} attacked images, objective has shape {shape}")


@ATTACK.check(
    "cost_per_image() is the number of forward and backward passes, to within 10 %.",
    "Count one for each forward pass and one for each backward pass of an image, but not the embedding of "
    "the clean pool.",
    after=_RUNS,
)
def cost(fixture: AttackFixture) -> None:
    """Checks the cost that plans and estimates of time rely on."""
    problem = fixture.problem()
    _ = problem.clean  # counted apart from the attack
    unit = count_flops(problem.embedder, fixture.pool.shape)
    models = (problem.embedder, *problem.sources.values())
    counters = [PassCounter(model, fixture.pool.shape, unit) for model in models]
    with ExitStack() as stack:
        for counter in counters:
            stack.enter_context(counter)
        fixture.run(problem)
    passes = sum(counter.total for counter in counters)
    counted, declared = passes / len(problem), fixture.attack.cost_per_image()
    # The attacked source of a transfer embeds its clean pool within the attack.
    most = counted - (1.0 if problem.sources else 0.0)
    if not most * (1 - COST_TOLERANCE) <= declared <= counted * (1 + COST_TOLERANCE):
        raise ContractError(
            f"cost_per_image() is {declared:g}, but {counted:.4g} passes an image are counted"
        )


def _uses_gradients(attack: Attack) -> str | None:
    return None if attack.access in ("black", "none") else f"its access is '{attack.access}'"


@ATTACK.check(
    "A black-box attack runs on a model without gradients; one with access 'none' never calls it.",
    "Declare access = 'white' when gradients are used, 'black' when embeddings are.",
    after=_RUNS,
    exempt=_uses_gradients,
)
def access(fixture: AttackFixture) -> None:
    """Checks the declared access to the model."""
    model = WithoutGradient(fixture.pool.model())
    calls: list[int] = []
    model.register_forward_hook(lambda module, inputs, output: calls.append(len(inputs[0])))
    try:
        fixture.run(fixture.problem(model=model))
    except RuntimeError as error:
        if "grad" not in str(error):
            raise
        raise ContractError("it takes a gradient of the model") from error
    if calls and fixture.attack.access == "none":
        raise ContractError(f"access is 'none', but it embeds {sum(calls)} images")


@ATTACK.check(
    "It runs on color images of another size, on a pool with separate queries, and on a randomised model.",
    "Take shapes from problem.shape; average a randomised model's values over problem.eot_samples.",
    after=_RUNS,
)
def other_problems(fixture: AttackFixture) -> None:
    """Checks tasks of other forms, each of which is in the benchmark."""
    if not _only_whole_pools(fixture.attack):
        fixture.run(fixture.problem(queries=fixture.pool.queries))
    fixture.run(fixture.problem(model=Noisy(fixture.pool.model()).eval()))
    color = AttackFixture(fixture.attack, Pool(COLOR))
    color.run(color.problem())


def _only_whole_pools(attack: Attack) -> bool:
    """Whether all scenarios that the attack is made for need a pool whose images query each other."""
    made_for = attack.made_for()
    return bool(made_for) and all(SCENARIOS.get(name).exclusive for name in made_for)
