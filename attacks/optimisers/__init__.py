"""Optimizers of attacks: noise, one step, many steps, queries, another model's gradients."""

from attacks.optimisers.cw import CW
from attacks.optimisers.jsma import JSMA
from attacks.optimisers.noise import Noise
from attacks.optimisers.pgd import APGD, BIM, FGSM, MIFGSM, PGD, IterativeAttack, PGDDecay
from attacks.optimisers.square import Square
from attacks.optimisers.transfer import Transfer
from attacks.optimisers.updates import Update

__all__ = [
    "APGD",
    "BIM",
    "CW",
    "FGSM",
    "JSMA",
    "MIFGSM",
    "PGD",
    "IterativeAttack",
    "Noise",
    "PGDDecay",
    "Square",
    "Transfer",
    "Update",
]
