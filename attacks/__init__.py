"""Attacks on embedders: objectives, optimizers that maximize them, and suites of both."""

from attacks.base import ATTACKS, Attack, AttackResult
from attacks.images import Images, images_per_pass
from attacks.objectives import OBJECTIVES, AnnealedScore, Objective, ObjectiveSpec, PooledScore, Score, anneal
from attacks.optimisers import (
    APGD,
    BIM,
    CW,
    FGSM,
    JSMA,
    MIFGSM,
    PGD,
    IterativeAttack,
    Noise,
    PGDDecay,
    Square,
    Transfer,
    Update,
)
from attacks.precision import PRECISIONS, WHOLE, check_precision, precision_name
from attacks.problem import Problem
from attacks.ranking import MEASURES, Measure, Robrank
from attacks.result_builder import ResultBuilder
from attacks.save_point import SavePoint, Stateful
from attacks.suites import FROM_CLEAN, REFERENCE_ATTACK, SUITES, Suite, cascaded, expand

__all__ = [
    "APGD",
    "ATTACKS",
    "BIM",
    "CW",
    "FGSM",
    "FROM_CLEAN",
    "JSMA",
    "MEASURES",
    "MIFGSM",
    "OBJECTIVES",
    "PGD",
    "PRECISIONS",
    "REFERENCE_ATTACK",
    "SUITES",
    "WHOLE",
    "AnnealedScore",
    "Attack",
    "AttackResult",
    "Images",
    "IterativeAttack",
    "Measure",
    "Noise",
    "Objective",
    "ObjectiveSpec",
    "PGDDecay",
    "PooledScore",
    "Problem",
    "ResultBuilder",
    "Robrank",
    "SavePoint",
    "Score",
    "Square",
    "Stateful",
    "Suite",
    "Transfer",
    "Update",
    "anneal",
    "cascaded",
    "check_precision",
    "expand",
    "images_per_pass",
    "precision_name",
]
