"""The attack jobs and cells of one model, with the identity of each cell."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from attacks import ATTACKS, WHOLE, Attack, Objective
from benchmark.core.protocol import PROTOCOL_VERSION
from benchmark.data import Folders
from benchmark.evaluation import SCENARIOS, Clustering, Scenario
from benchmark.jobs import AttackJob, AttackRun, TrainJob
from benchmark.jobs.at_chance import AtChance
from benchmark.planning.attack_plan import CHECKED_IN, AttackPlan
from benchmark.planning.config import Configuration
from benchmark.planning.identity import digest, plugin_files, recorded_parts, source_digest
from benchmark.planning.planned_attack import AttackAt, PlannedAttack
from benchmark.planning.shown_attacks import ShownAttacks
from benchmark.planning.target import Target
from benchmark.records import CLEAN, Role


class _Run(NamedTuple):
    """What the scenarios have in common that one run of an attack serves.

    Attributes:
        fraction: the attacked fraction of the pool.
        follows: ids of the cells that the attack follows.
        at_chance: when it is left out; None for never.
    """

    fraction: float
    follows: tuple[str, ...]
    at_chance: AtChance | None


class _Scored(NamedTuple):
    """What the identities of the cells of an attack in a scenario have in common, whatever the model.

    Attributes:
        attack, scenario: portable specs.
        code: the classes that its value depends on.
        source: hash of their code.
        files: names of the plugins' own files among it.
    """

    attack: str
    scenario: str
    code: list[type]
    source: str
    files: tuple[str, ...]


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
    _plans: dict[Any, list[tuple[PlannedAttack, Attack | None]]] = field(default_factory=dict, init=False)
    _scored: dict[tuple[str, str], _Scored] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self._attacks = AttackPlan(self.config, self.scenarios, self.folders)
        self._evaluation = self.config.evaluation.model_dump()

    def jobs(self, target: Target) -> Iterator[tuple[AttackJob, Role]]:
        """Plans the attacks on one model, each with its role; a cell is planned once, under its first role.

        Raises:
            UsageError: for an attack or a budget that does not fit.
        """
        seen: set[str] = set()
        by_attack: dict[tuple[AttackAt, str], str] = {}
        training = target.training
        shown = ShownAttacks()
        for planned, attack in self._possible(target):
            source = target.sources[attack.needs] if attack is not None and attack.needs else None
            if source is not None and source.id == training.id:
                continue  # an attack made on the model itself is not transferred
            if source is not None and attack is not None and not source.trained:
                attack = attack.made_on(source.key.defense)
                planned = replace(planned, attack=attack.spec)
            shared: dict[_Run, dict[str, str]] = defaultdict(dict)
            files: dict[_Run, set[str]] = defaultdict(set)
            identities: dict[str, dict[str, Any]] = {}
            for scenario in planned.scenarios:
                if planned.role == "check" and (planned.at, scenario.spec) in by_attack:
                    continue  # the suite has it, on the whole pool or on what still stands
                scored = self._scored_as(planned.attack, attack, scenario)
                follows = [by_attack.get((before, scenario.spec)) for before in planned.follows]
                at_chance = self._at_chance(planned, attack, by_attack)
                run = _Run(scenario.attacked_fraction, tuple(cell for cell in follows if cell), at_chance)
                identity = self._identity(training, planned, attack, scored, source, run)
                cell = digest(identity)
                by_attack[planned.at, scenario.spec] = cell
                if cell not in seen:
                    seen.add(cell)
                    shared[run][scenario.spec] = cell
                    files[run].update(scored.files)
                    identities[cell] = recorded_parts(identity, [*scored.code, AttackRun])
            for run, cells in shared.items():
                job = AttackJob(
                    model=training,
                    attack=planned.attack,
                    norm=planned.norm,
                    eps=planned.eps,
                    attacked_fraction=run.fraction,
                    source=source,
                    cells=cells,
                    eot=self.config.evaluation.eot,
                    repeats=self.config.evaluation.repeats,
                    precision=self._precision(attack),
                    follows=run.follows,
                    until_chance=planned.until_chance,
                    at_chance=run.at_chance,
                    clean_pool=self._clean_pool(training),
                    source_clean_pool="" if source is None else self._clean_pool(source),
                    plugin_files=tuple(sorted(files[run])),
                    identities={cell: identities[cell] for cell in cells.values()},
                )
                yield shown.marked(job, planned, attack), planned.role

    def _possible(self, target: Target) -> Iterator[tuple[PlannedAttack, Attack | None]]:
        """Leaves out the attacks that lack gradients or a model to start from."""
        for planned, attack in self._plan_of(target):
            if attack is not None:
                if attack.needs is not None and attack.needs not in target.sources:
                    continue
                if not target.gradients:
                    left = attack.without_gradients()
                    if left is None:
                        continue
                    planned, attack = replace(planned, attack=left.spec), left
            yield planned, attack

    def _plan_of(self, target: Target) -> list[tuple[PlannedAttack, Attack | None]]:
        """Plans the attacks on a kind of models once: those of other seeds are attacked in the same way."""
        defense = target.defense
        kind = (target.dataset.spec, tuple(defense.adaptive), defense.reference, target.gradients)
        if kind not in self._plans:
            self._plans[kind] = [
                (planned, None if planned.attack == CLEAN else ATTACKS.build(planned.attack))
                for planned in self._attacks.of(target)
            ]
        return self._plans[kind]

    @staticmethod
    def _at_chance(
        planned: PlannedAttack, attack: Attack | None, by_attack: Mapping[tuple[AttackAt, str], str]
    ) -> AtChance | None:
        """When an attack is left out, as far as the cells that decide it are planned."""

        def cells(scenario: str) -> tuple[str, ...]:
            spec = SCENARIOS.build(scenario).spec
            return tuple(by_attack[at, spec] for at in planned.unless if (at, spec) in by_attack)

        if attack is None or not planned.unless:
            return None
        queries, clusters = cells(CHECKED_IN), cells(Clustering.name)[1:]  # without the clean pool's
        pooled = any(isinstance(part, Objective) and part.pooled for part in attack.parts())
        if pooled:
            return AtChance(queries=queries, clusters=clusters) if clusters else None
        return AtChance(queries=queries) if len(queries) > 1 else None

    def _clean_pool(self, training: TrainJob) -> str:
        """The id of the stored embeddings of the clean pool under a model."""
        return digest(
            {
                "model": training.id,
                "evaluation": self.config.evaluation.model_dump(),
                "source": source_digest([AttackRun]),
                "protocol": PROTOCOL_VERSION,
            }
        )

    def _precision(self, attack: Attack | None) -> str:
        """The precision of an attack's search; cells without a search are the same in all."""
        return WHOLE if attack is None or attack.access == "none" else self.config.attack_precision

    def _scored_as(self, spec: str, attack: Attack | None, scenario: Scenario) -> _Scored:
        if (spec, scenario.spec) not in self._scored:
            code = [*map(type, [] if attack is None else attack.parts()), type(scenario)]
            self._scored[spec, scenario.spec] = _Scored(
                CLEAN if attack is None else attack.portable,
                scenario.portable,
                code,
                source_digest([*code, AttackRun]),
                plugin_files(code),
            )
        return self._scored[spec, scenario.spec]

    def _identity(
        self,
        training: TrainJob,
        planned: PlannedAttack,
        attack: Attack | None,
        scored: _Scored,
        source: TrainJob | None,
        run: _Run,
    ) -> dict[str, Any]:
        """Describes a cell; the hash of the description is its identity."""
        after: dict[str, Any] = {}
        if run.follows:
            after |= {"follows": sorted(run.follows), "until_chance": planned.until_chance}
        if run.at_chance is not None:
            after["at_chance"] = run.at_chance.model_dump()
        return {
            "model": training.id,
            "from": source.id if source else None,
            "scenario": scored.scenario,
            "attack": scored.attack,
            "norm": planned.norm,
            "eps": planned.eps,
            "evaluation": self._evaluation,
            "precision": self._precision(attack),
            "source": scored.source,
            "protocol": PROTOCOL_VERSION,
            **after,
        }
