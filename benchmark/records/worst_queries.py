"""The success of each query under the attack that is worst for it, without the bias of choosing by noise."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class QueryScores:
    """The queries under one attack, or on clean images.

    Attributes:
        success: of each query, in [0, 1], shape (q,); of an attack that follows others, the lowest over these
            and itself.
        own: of an attack that follows others, its own success, shape (q,); None for the others.
        halves: of a randomised model, the success in either half of the repeats, shape (2, q); else None.
        left_out: whether the attack was left out, because nothing stood before it; its scores are those of
            others.
    """

    success: np.ndarray
    own: np.ndarray | None = None
    halves: np.ndarray | None = None
    left_out: bool = False


def worst_of(attacks: Iterable[QueryScores]) -> np.ndarray | None:
    """The success of each query under the attack that is worst for it, shape (q,); None without attacks.

    The success under a randomised model is a mean of few repeats, and the lowest of several such means is too
    low by chance. So where all attacks hold both halves of the repeats, the attack of each query is the worst
    one on either half, and its success is that on the other half; the result is the mean of the two. It is
    that of the attack chosen, without bias. Few repeats leave many attacks equal on a query, often at 0; of
    these the one counts that is worst over all queries on the same half. Such a choice may do worse than one
    attack does on all queries. Where an attack leaves less on average, its success counts: the result is no
    higher on average than any attack by itself.

    Args:
        attacks: read one at a time, with the same queries.
    """
    worst: np.ndarray | None = None
    best: np.ndarray | None = None
    halves: _Halves | None = _Halves()
    for attack in attacks:
        success = attack.success.astype(np.float64)
        worst = success if worst is None else np.minimum(worst, success)
        if halves is not None and not attack.left_out:
            halves = None if attack.halves is None else halves.with_attack(attack.halves)
            own = success if attack.own is None else attack.own.astype(np.float64)
            best = own if best is None or own.mean() < best.mean() else best
    if halves is None or halves.scored is None or best is None:
        return worst
    chosen = np.asarray(halves.scored.mean(axis=0))
    return best if best.mean() < chosen.mean() else chosen


@dataclass(frozen=True)
class _Halves:
    """The attack that is worst for each query on one half of the repeats, and its success on the other.

    Attributes:
        chosen: lowest success on either half, shape (2, q); None before any attack.
        means: of the same attack over all queries on the same half, shape (2, q).
        scored: the success of the same attack on the other half, shape (2, q).
    """

    chosen: np.ndarray | None = None
    means: np.ndarray | None = None
    scored: np.ndarray | None = None

    def with_attack(self, found: np.ndarray) -> _Halves:
        """Adds an attack by its success on both halves, shape (2, q)."""
        found = found.astype(np.float64)
        means = np.broadcast_to(found.mean(axis=1, keepdims=True), found.shape)
        if self.chosen is None or self.means is None or self.scored is None:
            return _Halves(found, means, found[::-1])
        lower = (found < self.chosen) | ((found == self.chosen) & (means < self.means))
        return _Halves(
            np.where(lower, found, self.chosen),
            np.where(lower, means, self.means),
            np.where(lower, found[::-1], self.scored),
        )
