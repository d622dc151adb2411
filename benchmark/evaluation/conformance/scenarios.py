"""The contract of scenarios: finite scores of a tiny pool, the same each time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch

from attacks import ATTACKS, Attack
from benchmark.core.embedder import Embedder
from benchmark.core.seeding import seed_everything
from benchmark.evaluation.conformance.contract import Contract
from benchmark.evaluation.conformance.contract_check import ContractError, NotApplicableError
from benchmark.evaluation.conformance.pool import Noisy, Pool
from benchmark.evaluation.pool_embeddings import PoolEmbeddings
from benchmark.evaluation.scenario import Scenario, ScenarioScore

REPEATS = 2


@dataclass(frozen=True)
class ScenarioFixture:
    """A scenario, with a pool to score.

    Attributes:
        scenario: the scenario under test.
        pool: the images.
    """

    scenario: Scenario
    pool: Pool = field(default_factory=Pool)

    def attack(self) -> Attack:
        """Returns an attack that is scored in the scenario: the first that is made for an exclusive one.

        Raises:
            NotApplicableError: when no attack is made for the scenario.
        """
        if not self.scenario.exclusive:
            return ATTACKS.build("noise")
        for name in ATTACKS.names():
            attack = ATTACKS.build(name)
            if self.scenario.name in attack.made_for():
                return attack
        raise NotApplicableError("it scores only attacks made for it, and there is none")

    def embeddings(self, model: Embedder | None = None, separate_queries: bool = False) -> PoolEmbeddings:
        """The pool and an attacked version of it, embedded by a tiny model."""
        images = self.pool.images
        noise = torch.rand(images.shape, generator=torch.Generator().manual_seed(5))
        return PoolEmbeddings(
            model or self.pool.model(),
            images,
            (images + 0.1 * (2 * noise - 1)).clamp(0, 1),
            self.pool.labels,
            self.pool.ids,
            REPEATS,
            attack=self.attack(),
            objective=torch.zeros(len(images)),
            queries=self.pool.queries if separate_queries else None,
        )

    def score(self, embeddings: PoolEmbeddings) -> ScenarioScore:
        """Scores a pool under a fixed seed."""
        seed_everything("conformance-scenario")
        return self.scenario.score(embeddings)


SCENARIO: Contract[Scenario, ScenarioFixture] = Contract(
    Scenario, lambda scenario, folders: ScenarioFixture(scenario)
)


@SCENARIO.check("`attacked_fraction` is in (0, 1].", "Return the fraction of the pool that is attacked.")
def fraction(fixture: ScenarioFixture) -> None:
    """Checks the fraction."""
    if not 0 < fixture.scenario.attacked_fraction <= 1:
        raise ContractError(f"attacked_fraction is {fixture.scenario.attacked_fraction}")


@SCENARIO.check(
    "score(embeddings) returns finite metrics, fractions in [0, 1] unless the scenario is exclusive.",
    "Return ScenarioScore({'name': value}) with at least one metric, and scale each to [0, 1].",
)
def metrics(fixture: ScenarioFixture) -> None:
    """Checks the metrics of a plain and of a randomised model."""
    for model in (None, Noisy(fixture.pool.model()).eval()):
        score = fixture.score(fixture.embeddings(model))
        if not isinstance(score, ScenarioScore):
            raise ContractError(f"score returns {type(score).__name__}, not a ScenarioScore")
        if not score.metrics:
            raise ContractError("there is no metric")
        for name, value in score.metrics.items():
            if not isinstance(value, int | float) or not np.isfinite(value):
                raise ContractError(f"the metric {name} is {value!r}, not a finite number")
            if not fixture.scenario.exclusive and not 0 <= value <= 1:
                raise ContractError(f"the metric {name} is {value:.4g}, not a fraction")


@SCENARIO.check(
    "Arrays hold finite numbers; 'success' comes with the 'queries' that it belongs to.",
    "Return numpy arrays of numbers or truth values, with one entry of 'queries' for each of 'success'.",
    after=("metrics",),
)
def arrays(fixture: ScenarioFixture) -> None:
    """Checks the arrays, from which worst cases and plots are computed."""
    found = fixture.score(fixture.embeddings()).arrays
    for name, array in found.items():
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "biuf":
            kind = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
            raise ContractError(f"the array {name} is {kind}")
        if not np.isfinite(array).all():
            raise ContractError(f"the array {name} has a value that is not finite")
    if "success" in found and found["success"].shape != found.get("queries", np.empty(0)).shape:
        raise ContractError("'success' and 'queries' differ in shape")
    if fixture.scenario.per_query and "success" not in found:
        raise ContractError("per_query is True, but there is no array 'success'")


@SCENARIO.check(
    "The same embeddings give the same score.",
    "Seed what is random within the scenario, as k-means is, by values that do not change.",
    after=("metrics",),
)
def same_score(fixture: ScenarioFixture) -> None:
    """Checks that a score is reproducible, whatever the state of the random generators."""
    embeddings = fixture.embeddings()
    first = fixture.scenario.score(embeddings).metrics
    if first != fixture.scenario.score(embeddings).metrics:
        raise ContractError("two calls give different metrics")


@SCENARIO.check_settings(after=("metrics",))
def use(fixture: ScenarioFixture) -> Callable[[], object]:
    """Prepares the call that is checked."""
    embeddings = fixture.embeddings()
    return lambda: fixture.scenario.score(embeddings)
