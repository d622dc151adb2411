"""The cells of one model: which attacks, budgets and scenarios it meets, and why."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from attacks import ATTACKS, FROM_CLEAN, STEADY, Attack, Problem, expand
from benchmark.core.errors import UsageError
from benchmark.core.protocol import PROTOCOL_VERSION
from benchmark.data import Dataset, Folders
from benchmark.evaluation import SCENARIOS, PoolEmbeddings, Scenario, attacked_indices, diagnose
from benchmark.evaluation.check_input import SAME
from benchmark.jobs.attack_job import AttackJob, make_cells, whole_float32
from benchmark.jobs.train_job import TrainJob, load_trained
from benchmark.models import fold_batch_norm
from benchmark.planning.config import Configuration
from benchmark.planning.identity import digest, function_digest, source_digest
from benchmark.records import CLEAN
from defenses import Defense

Role = Literal["clean", "suite", "curve", "check"]
CHECKED_IN = "retrieval-query"
"""The scenario that the checks are decided in."""

CHECK_FACTORS = (0.5, 2.0)
"""The other budgets, in units of the suite's, at which more must not leave more."""


@dataclass(frozen=True)
class Ask:
    """An attack that a model is to meet.

    Attributes:
        attack: canonical spec, or CLEAN.
        norm, eps: the ball.
        role: what for.
        scenarios: in which it is scored.
    """

    attack: str
    norm: str
    eps: float
    role: Role
    scenarios: tuple[Scenario, ...]


@dataclass
class Cells:
    """Turns a configuration into the attack jobs of each model.

    Args:
        config: what is asked for.
        scenarios: the scenarios asked for.
        folders: where data sets are.
    """

    config: Configuration
    scenarios: list[Scenario]
    folders: Folders

    def jobs(
        self, training: TrainJob, dataset: Dataset, defense: Defense, sources: dict[str, TrainJob]
    ) -> list[tuple[AttackJob, Role]]:
        """The attack jobs of one model, each with its role; each cell once, under the first role it has.

        Args:
            training: the model.
            dataset: its data set.
            defense: its defense, which may declare attacks of its own.
            sources: the trainings of the same cell that transferred attacks start from, by their spec.

        Raises:
            UsageError: for an attack or a budget that does not fit.
        """
        seen: set[str] = set()
        found = []
        for ask in self._asks(dataset, defense):
            attack = None if ask.attack == CLEAN else ATTACKS.build(ask.attack)
            source = sources[attack.needs] if attack is not None and attack.needs else None
            if source is not None and source.id == training.id:
                continue  # what is made on the model itself is not transferred
            shared: dict[float, dict[str, str]] = defaultdict(dict)
            for scenario in ask.scenarios:
                cell = self._identity(training, ask, attack, scenario, source)
                if cell not in seen:
                    seen.add(cell)
                    shared[scenario.share][scenario.spec] = cell
            for share, cells in shared.items():
                job = AttackJob(
                    model=training,
                    attack=ask.attack,
                    norm=ask.norm,
                    eps=ask.eps,
                    share=share,
                    source=source,
                    cells=cells,
                    eot=self.config.evaluation.eot,
                    passes=self.config.evaluation.passes,
                )
                found.append((job, ask.role))
        return found

    def _asks(self, dataset: Dataset, defense: Defense) -> Iterator[Ask]:
        config = self.config
        yield Ask(CLEAN, CLEAN, 0.0, "clean", self._scored_in(None))
        suite = expand([*named(config.attacks, ATTACKS.names()), *defense.adaptive])
        curve = expand(config.curve.attacks)
        for norm in config.norm:
            budgets = config.eps or [headline(dataset, norm, "--eps")]
            for eps in budgets:
                yield from self._all(suite, norm, eps, "suite")
            unit = dataset.headline_eps.get(norm, budgets[0])
            asked = [*budgets, unit]
            for factor in config.curve.factors:
                yield from self._all(curve, norm, times(unit, factor, asked), "curve")
            attacked = [self._scored_in(ATTACKS.build(text)) for text in suite]
            usual = any(not scenario.exclusive for scenarios in attacked for scenario in scenarios)
            if config.checks and usual:
                for eps in budgets:
                    yield from self._checks(dataset, norm, eps, asked)

    def _checks(self, dataset: Dataset, norm: str, eps: float, asked: list[float]) -> Iterator[Ask]:
        """What the checks need beside the suite, in the one scenario that decides them."""
        scenarios = (SCENARIOS.build(CHECKED_IN),)
        yield Ask(CLEAN, CLEAN, 0.0, "check", scenarios)
        for attack in expand(["checks"]):
            yield Ask(attack, norm, eps, "check", scenarios)
        whole = whole_range(dataset, norm, self.folders)
        for other in (times(eps, factor, [*asked, whole]) for factor in CHECK_FACTORS):
            if other < whole:
                yield Ask(ATTACKS.build(STEADY).spec, norm, other, "check", scenarios)
        yield Ask(ATTACKS.build(FROM_CLEAN).spec, norm, whole, "check", scenarios)

    def _all(self, attacks: list[str], norm: str, eps: float, role: Role) -> Iterator[Ask]:
        for text in attacks:
            attack = ATTACKS.build(text)
            if attack.knows(norm):
                yield Ask(text, norm, eps, role, self._scored_in(attack))

    def _scored_in(self, attack: Attack | None) -> tuple[Scenario, ...]:
        """The scenarios asked for that the attack is made for, and the exclusive ones that it is."""
        made_for = attack.made_for() if attack is not None else ()
        usual = [
            scenario
            for scenario in self.scenarios
            if not scenario.exclusive and (not made_for or scenario.name in made_for)
        ]
        own = [SCENARIOS.build(name) for name in made_for if SCENARIOS.get(name).exclusive]
        return (*usual, *own)

    def _identity(
        self, training: TrainJob, ask: Ask, attack: Attack | None, scenario: Scenario, source: TrainJob | None
    ) -> str:
        parts = [] if attack is None else attack.parts()
        return digest(
            {
                "model": training.id,
                "from": source.id if source else None,
                "scenario": scenario.spec,
                "attack": ask.attack,
                "norm": ask.norm,
                "eps": ask.eps,
                "evaluation": self.config.evaluation.model_dump(),
                "source": [
                    source_digest(
                        [
                            *map(type, parts),
                            type(scenario),
                            Problem,
                            PoolEmbeddings,
                            attacked_indices,
                            diagnose,
                        ]
                    ),
                    function_digest([load_trained, fold_batch_norm, make_cells, whole_float32]),
                ],
                "protocol": PROTOCOL_VERSION,
            }
        )


def named(texts: list[str], every: list[str]) -> list[str]:
    """The texts, with "all" replaced by every name."""
    return [name for text in texts for name in (every if text == "all" else [text])]


def times(eps: float, factor: float, asked: list[float]) -> float:
    """A multiple of a budget: one that is asked for anyway where they are alike, else without floating dust.

    Three times 0.1 is 0.3; twice 8/255 has more decimals than ten, and stays 16/255.
    """
    product = eps * factor
    tidy = round(product, 10)
    own = tidy if math.isclose(tidy, product, rel_tol=1e-12) else product
    return next((other for other in asked if abs(other - product) < SAME), own)


def headline(dataset: Dataset, norm: str, option: str) -> float:
    """The budget that a data set is ranked at.

    Raises:
        UsageError: when it has none, naming the option that gives one.
    """
    if norm not in dataset.headline_eps:
        raise UsageError(f"The data set '{dataset.spec}' has no headline eps for {norm}; give {option}.")
    return dataset.headline_eps[norm]


def whole_range(dataset: Dataset, norm: str, folders: Folders) -> float:
    """The budget that lets every image become any other: no two images in [0, 1] are further apart."""
    if norm == "linf":
        return 1.0
    return math.sqrt(math.prod(dataset.seen_shape(folders)))
