"""Which attacks a model is attacked with, at which budgets, and the role of each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from attacks import ATTACKS, FROM_CLEAN, REFERENCE_ATTACK, Attack, expand
from benchmark.data import Dataset, Folders
from benchmark.evaluation import SCENARIOS, Scenario
from benchmark.planning.asked_attacks import checked_norms
from benchmark.planning.budgets import compared_budgets, headline, multiple, whole_range
from benchmark.planning.cascade import Cascade
from benchmark.planning.config import Configuration
from benchmark.planning.planned_attack import CLEAN_POOL, AttackAt, PlannedAttack
from benchmark.planning.selection import named
from benchmark.planning.target import Target
from benchmark.records import Role

CHECKED_IN = "retrieval-query"
"""The scenario that the checks are decided in."""


@dataclass(frozen=True)
class AttackPlan:
    """Plans the attacks of a configuration.

    Args:
        config: the configuration.
        scenarios: the scenarios asked for.
        folders: where data sets are.
    """

    config: Configuration
    scenarios: list[Scenario]
    folders: Folders

    def of(self, target: Target) -> Iterator[PlannedAttack]:
        """Plans the attacks on a model, the clean pool first.

        Raises:
            UsageError: for an attack or a budget that does not fit.
        """
        config, dataset = self.config, target.dataset
        yield PlannedAttack(*CLEAN_POOL, "clean", self._scored_in(None))
        asked = named(config.attacks, ATTACKS.names())
        suite = expand([*asked, *target.defense.adaptive])
        curve = expand(config.curve.attacks)
        # Without gradients there is no white-box attack that others could follow.
        cascade = Cascade.of(asked, curve) if target.gradients else None
        for norm in config.norm:
            budgets = config.eps or [headline(dataset, norm, "--eps")]
            for eps in budgets:
                attacks = self._all(suite, norm, eps, "suite")
                yield from attacks if cascade is None else cascade.order(attacks)
            unit = dataset.headline_eps.get(norm, budgets[0])
            planned = [*budgets, unit]
            for factor in config.curve.factors:
                for one in self._all(curve, norm, multiple(unit, factor, planned, norm), "curve"):
                    yield one if cascade is None else cascade.unless_at_chance(one, suite, budgets)
            attacked = [self._scored_in(ATTACKS.build(text)) for text in suite]
            usual = any(not scenario.exclusive for scenarios in attacked for scenario in scenarios)
            # The checks decide what ranks first; a reference has no rank.
            checked = config.checks and norm in checked_norms(config.norm)
            if checked and usual and not target.defense.reference:
                yield from self._checks(dataset, norm, budgets, planned, cascade)

    def _checks(
        self, dataset: Dataset, norm: str, budgets: list[float], planned: list[float], cascade: Cascade | None
    ) -> Iterator[PlannedAttack]:
        """Plans the attacks that the checks need beside the suite, in the scenario of the checks."""
        scenarios = (SCENARIOS.build(CHECKED_IN),)
        reference = ATTACKS.build(REFERENCE_ATTACK).spec
        yield PlannedAttack(*CLEAN_POOL, "check", scenarios)
        whole = whole_range(dataset, norm, self.folders)
        for eps in budgets:
            # In a cascade everything else follows the reference attack, which is therefore planned first.
            for attack in sorted(expand(["checks"]), key=lambda attack: attack != reference):
                one = PlannedAttack(attack, norm, eps, "check", scenarios)
                yield one if cascade is None else cascade.after_first(one)
        others = compared_budgets(dataset, norm, budgets, [*planned, whole])
        for other in others:
            yield PlannedAttack(reference, norm, other, "check", scenarios)
        compared = [eps for eps in (*budgets, *others) if eps < whole]
        unbounded = PlannedAttack(ATTACKS.build(FROM_CLEAN).spec, norm, whole, "check", scenarios)
        if cascade is not None and compared:
            # Smaller balls lie within: what fell there need not be attacked again.
            follows = (CLEAN_POOL, AttackAt(reference, norm, max(compared)))
            unbounded = replace(unbounded, follows=follows, until_chance=False)
        yield unbounded

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
