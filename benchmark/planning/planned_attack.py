"""An attack that is planned against a model: its budget, what it is for, and what it follows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from benchmark.evaluation import Scenario
from benchmark.records import CLEAN, Role


class AttackAt(NamedTuple):
    """An attack at a budget.

    Attributes:
        attack: canonical spec, or CLEAN.
        norm, eps: the ball.
    """

    attack: str
    norm: str
    eps: float


CLEAN_POOL = AttackAt(CLEAN, CLEAN, 0.0)
"""The clean pool, as an attack at a budget."""


@dataclass(frozen=True)
class PlannedAttack:
    """An attack planned against a model.

    Attributes:
        attack: canonical spec, or CLEAN.
        norm, eps: the ball.
        role: what the cells are for.
        scenarios: the scenarios that the attack is scored in.
        follows: the attacks that it follows: it attacks only the queries that stand after them. Empty for
            attacks on the whole pool.
        until_chance: whether it is left out where R@1 after those is at or below chance.
        unless: attacks on the whole pool that it is left out after where they bring its metric to chance.
    """

    attack: str
    norm: str
    eps: float
    role: Role
    scenarios: tuple[Scenario, ...]
    follows: tuple[AttackAt, ...] = ()
    until_chance: bool = True
    unless: tuple[AttackAt, ...] = ()

    @property
    def at(self) -> AttackAt:
        """The attack and its budget."""
        return AttackAt(self.attack, self.norm, self.eps)
