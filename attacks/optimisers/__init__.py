"""How attacks climb: noise, one step, many steps, queries, another model's gradients."""

from attacks.optimisers.noise import Noise
from attacks.optimisers.pgd import APGD, BIM, FGSM, MIFGSM, PGD, PGDDecay

__all__ = ["APGD", "BIM", "FGSM", "MIFGSM", "PGD", "Noise", "PGDDecay"]
