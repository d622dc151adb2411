"""Attacks on embedders: an objective to raise, an optimiser that raises it, suites of both."""

from attacks.base import ATTACKS, Attack, Outcome
from attacks.objectives import OBJECTIVES, Objective, Score
from attacks.optimisers import APGD, BIM, FGSM, MIFGSM, PGD, Noise, PGDDecay
from attacks.problem import Problem
from attacks.suites import SUITES, Suite, expand

__all__ = [
    "ATTACKS",
    "FGSM",
    "OBJECTIVES",
    "PGD",
    "SUITES",
    "Attack",
    "Noise",
    "Objective",
    "Outcome",
    "PGDDecay",
    "Problem",
    "Score",
    "Suite",
    "expand",
]
