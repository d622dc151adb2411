"""The attack jobs and cells of one model: attacks, budgets, scenarios, and the role of each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from attacks import ATTACKS, FROM_CLEAN, REFERENCE_ATTACK, Attack, expand
from benchmark.core.protocol import PROTOCOL_VERSION
from benchmark.data import Dataset, Folders
from benchmark.evaluation import SCENARIOS, Scenario
from benchmark.jobs import AttackJob, AttackRun, TrainJob
from benchmark.planning.budgets import headline, multiple, whole_range
from benchmark.planning.config import Configuration
from benchmark.planning.identity import digest, plugin_files, recorded_parts, source_digest
from benchmark.planning.selection import named
from benchmark.records import CLEAN, Role
from defenses import Defense

CHECKED_IN = "retrieval-query"
"""The scenario that the checks are decided in."""

CHECK_FACTORS = (0.5, 2.0)
"""Other budgets for the check that scores fall as the budget grows, in units of the suite's."""


@dataclass(frozen=True)
class PlannedAttack:
    """An attack planned against a model.

    Attributes:
        attack: canonical spec, or CLEAN.
        norm, eps: the ball.
        role: what the cells are for.
        scenarios: the scenarios that the attack is scored in.
    """

    attack: str
    norm: str
    eps: float
    role: Role
    scenarios: tuple[Scenario, ...]


@dataclass(frozen=True)
class Target:
    """A model that is to be attacked.

    Attributes:
        training: the job that makes or loads it.
        dataset: its data set.
        defense: its defense, which may declare attacks of its own.
        sources: the models that transferred attacks start from, by the spec that attacks ask for; attacks
            that ask for others are left out.
        gradients: whether white-box attacks can be run on it.
    """

    training: TrainJob
    dataset: Dataset
    defense: Defense
    sources: Mapping[str, TrainJob]
    gradients: bool = True


@dataclass
class CellPlanner:
    """Turns a configuration into the attack jobs of each model.

    Args:
        config: the configuration.
        scenarios: the scenarios asked for.
        folders: where data sets are.
    """

    config: Configuration
    scenarios: list[Scenario]
    folders: Folders

    def jobs(self, target: Target) -> Iterator[tuple[AttackJob, Role]]:
        """Plans the attacks on one model, each with its role; a cell is planned once, under its first role.

        Raises:
            UsageError: for an attack or a budget that does not fit.
        """
        seen: set[str] = set()
        training = target.training
        for planned, attack in self._possible(target):
            source = target.sources[attack.needs] if attack is not None and attack.needs else None
            if source is not None and source.id == training.id:
                continue  # an attack made on the model itself is not transferred
            if source is not None and attack is not None and not source.trained:
                attack = attack.made_on(source.key.defense)
                planned = replace(planned, attack=attack.spec)
            shared: dict[float, dict[str, str]] = defaultdict(dict)
            files: dict[float, set[str]] = defaultdict(set)
            identities: dict[str, dict[str, Any]] = {}
            for scenario in planned.scenarios:
                code = [*map(type, [] if attack is None else attack.parts()), type(scenario)]
                identity = self._identity(training, planned, attack, scenario, source, code)
                cell = digest(identity)
                if cell not in seen:
                    seen.add(cell)
                    shared[scenario.attacked_fraction][scenario.spec] = cell
                    files[scenario.attacked_fraction].update(plugin_files(code))
                    identities[cell] = recorded_parts(identity, [*code, AttackRun])
            for fraction, cells in shared.items():
                job = AttackJob(
                    model=training,
                    attack=planned.attack,
                    norm=planned.norm,
                    eps=planned.eps,
                    attacked_fraction=fraction,
                    source=source,
                    cells=cells,
                    eot=self.config.evaluation.eot,
                    repeats=self.config.evaluation.repeats,
                    plugin_files=tuple(sorted(files[fraction])),
                    identities={cell: identities[cell] for cell in cells.values()},
                )
                yield job, planned.role

    def _possible(self, target: Target) -> Iterator[tuple[PlannedAttack, Attack | None]]:
        """Leaves out the attacks that lack gradients or a model to start from."""
        for planned in self._planned(target.dataset, target.defense):
            attack = None if planned.attack == CLEAN else ATTACKS.build(planned.attack)
            if attack is not None:
                if attack.needs is not None and attack.needs not in target.sources:
                    continue
                if attack.access == "white" and not target.gradients:
                    continue
            yield planned, attack

    def _planned(self, dataset: Dataset, defense: Defense) -> Iterator[PlannedAttack]:
        config = self.config
        yield PlannedAttack(CLEAN, CLEAN, 0.0, "clean", self._scored_in(None))
        suite = expand([*named(config.attacks, ATTACKS.names()), *defense.adaptive])
        curve = expand(config.curve.attacks)
        for norm in config.norm:
            budgets = config.eps or [headline(dataset, norm, "--eps")]
            for eps in budgets:
                yield from self._all(suite, norm, eps, "suite")
            unit = dataset.headline_eps.get(norm, budgets[0])
            planned = [*budgets, unit]
            for factor in config.curve.factors:
                yield from self._all(curve, norm, multiple(unit, factor, planned), "curve")
            attacked = [self._scored_in(ATTACKS.build(text)) for text in suite]
            usual = any(not scenario.exclusive for scenarios in attacked for scenario in scenarios)
            if config.checks and usual:
                for eps in budgets:
                    yield from self._checks(dataset, norm, eps, planned)

    def _checks(
        self, dataset: Dataset, norm: str, eps: float, planned: list[float]
    ) -> Iterator[PlannedAttack]:
        """Plans the attacks that the checks need beside the suite, in the scenario of the checks."""
        scenarios = (SCENARIOS.build(CHECKED_IN),)
        yield PlannedAttack(CLEAN, CLEAN, 0.0, "check", scenarios)
        for attack in expand(["checks"]):
            yield PlannedAttack(attack, norm, eps, "check", scenarios)
        whole = whole_range(dataset, norm, self.folders)
        for other in (multiple(eps, factor, [*planned, whole]) for factor in CHECK_FACTORS):
            if other < whole:
                yield PlannedAttack(ATTACKS.build(REFERENCE_ATTACK).spec, norm, other, "check", scenarios)
        yield PlannedAttack(ATTACKS.build(FROM_CLEAN).spec, norm, whole, "check", scenarios)

    def _all(self, attacks: list[str], norm: str, eps: float, role: Role) -> Iterator[PlannedAttack]:
        for text in attacks:
            attack = ATTACKS.build(text)
            if attack.knows(norm):
                yield PlannedAttack(text, norm, eps, role, self._scored_in(attack))

    def _scored_in(self, attack: Attack | None) -> tuple[Scenario, ...]:
        """The scenarios asked for that suit the attack, and the exclusive ones that it is made for."""
        made_for = attack.made_for() if attack is not None else ()
        usual = [
            scenario
            for scenario in self.scenarios
            if not scenario.exclusive and (not made_for or scenario.name in made_for)
        ]
        own = [SCENARIOS.build(name) for name in made_for if SCENARIOS.get(name).exclusive]
        return (*usual, *own)

    def _identity(
        self,
        training: TrainJob,
        planned: PlannedAttack,
        attack: Attack | None,
        scenario: Scenario,
        source: TrainJob | None,
        code: list[type],
    ) -> dict[str, Any]:
        """Describes a cell; the hash of the description is its identity."""
        return {
            "model": training.id,
            "from": source.id if source else None,
            "scenario": scenario.portable,
            "attack": CLEAN if attack is None else attack.portable,
            "norm": planned.norm,
            "eps": planned.eps,
            "evaluation": self.config.evaluation.model_dump(),
            "source": source_digest([*code, AttackRun]),
            "protocol": PROTOCOL_VERSION,
        }
