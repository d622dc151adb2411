"""Which attacks of a suite attack only the queries that still stand, and after which others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from attacks import ATTACKS, Objective, cascaded, expand
from benchmark.evaluation import Scenario
from benchmark.evaluation.check_input import SAME
from benchmark.planning.planned_attack import CLEAN_POOL, AttackAt, PlannedAttack


@dataclass(frozen=True)
class Cascade:
    """A suite whose members run one after another.

    Attacked as a whole, in every scenario, are the pool's first attack, all attacks on a pooled objective,
    and those of `whole`. The others attack, in scenarios with an outcome of each query, only the queries that
    stand after the white-box attacks before them: what the white box leaves is what black-box and transferred
    attacks are compared on. In other scenarios they are scored where they are made for them.

    Attributes:
        first: spec of the first attack, on the whole pool.
        whole: specs of other attacks that run on the whole pool.
    """

    first: str
    whole: frozenset[str]

    @classmethod
    def of(cls, texts: list[str], curve: Iterable[str]) -> Cascade | None:
        """Reads it from the attacks asked for; None where no suite of them is a cascade.

        Args:
            texts: attacks and suites asked for. What is asked for beside a cascade runs on the whole pool.
            curve: specs of the attacks of the plot over budgets, which needs the whole pool at each of them.
        """
        members = cascaded(texts)
        if not members:
            return None
        beside = expand([text for text in texts if not cascaded([text])])
        return cls(members[0], frozenset({*beside, *curve}))

    def is_whole(self, attack: str) -> bool:
        """Whether an attack runs on the whole pool in every scenario."""
        parts = ATTACKS.build(attack).parts()
        pooled = any(isinstance(part, Objective) and part.pooled for part in parts)
        return attack == self.first or attack in self.whole or pooled

    def order(self, planned: Iterable[PlannedAttack]) -> Iterator[PlannedAttack]:
        """Puts the attacks of one budget in order: those on the whole pool, white-box attacks, the others."""
        attacks = list(planned)
        before = [CLEAN_POOL]
        for one in attacks:
            if self.is_whole(one.attack):
                if ATTACKS.build(one.attack).access == "white":
                    before.append(one.at)
                yield one
        rest = [one for one in attacks if not self.is_whole(one.attack)]
        for one in sorted(rest, key=lambda one: ATTACKS.build(one.attack).access != "white"):
            attack = ATTACKS.build(one.attack)
            per_query, others = _split(one.scenarios)
            if others and attack.made_for():
                yield replace(one, scenarios=others)
            if per_query:
                yield replace(one, scenarios=per_query, follows=tuple(before))
                if attack.access == "white":
                    before.append(one.at)

    def unless_at_chance(
        self, one: PlannedAttack, suite: Iterable[str], budgets: Iterable[float]
    ) -> PlannedAttack:
        """Leaves out an attack of the plot over budgets where the suite has brought its metric to chance.

        Args:
            one: the attack.
            suite: specs of the attacks of the suite.
            budgets: those of the suite in the norm of the attack; the largest that is not above that of the
                attack counts.
        """
        below = [eps for eps in budgets if eps <= one.eps + SAME]
        members = [text for text in suite if self.is_whole(text) and ATTACKS.build(text).access == "white"]
        if not below or (one.attack in members and one.eps in below):  # the suite has it
            return one
        before = (
            AttackAt(text, one.norm, max(below)) for text in members if ATTACKS.build(text).knows(one.norm)
        )
        return replace(one, unless=(CLEAN_POOL, *before))

    def after_first(self, one: PlannedAttack) -> PlannedAttack:
        """Lets an attack of the checks follow the first attack; single gradient steps stay whole.

        One step is compared with many on all queries; it is cheap.
        """
        if self.is_whole(one.attack) or ATTACKS.build(one.attack).cost_per_image() <= ONE_STEP:
            return one
        return replace(one, follows=(CLEAN_POOL, AttackAt(self.first, one.norm, one.eps)))


ONE_STEP = 3.0
"""Cost of one gradient and one forward pass, in cost units."""


def _split(scenarios: tuple[Scenario, ...]) -> tuple[tuple[Scenario, ...], tuple[Scenario, ...]]:
    """Splits scenarios into those with an outcome of each query, all of them attacked, and others."""
    per_query = tuple(one for one in scenarios if one.per_query and one.attacked_fraction == 1)
    return per_query, tuple(one for one in scenarios if one not in per_query)
