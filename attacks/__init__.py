"""Attacks on embedders: an objective to raise, an optimiser that raises it, suites of both."""

from attacks.base import ATTACKS, Attack, AttackResult
from attacks.objectives import OBJECTIVES, Objective, Score
from attacks.optimisers import APGD, BIM, CW, FGSM, MIFGSM, PGD, Noise, PGDDecay, Square, Transfer
from attacks.problem import Images, Problem, images_a_pass
from attacks.ranking import MEASURES, Measure, Robrank
from attacks.suites import FROM_CLEAN, STEADY, SUITES, Suite, expand

__all__ = [
    "APGD",
    "ATTACKS",
    "BIM",
    "CW",
    "FGSM",
    "FROM_CLEAN",
    "MEASURES",
    "MIFGSM",
    "OBJECTIVES",
    "PGD",
    "STEADY",
    "SUITES",
    "Attack",
    "AttackResult",
    "Images",
    "Measure",
    "Noise",
    "Objective",
    "PGDDecay",
    "Problem",
    "Robrank",
    "Score",
    "Square",
    "Suite",
    "Transfer",
    "expand",
    "images_a_pass",
]
