"""How attacks climb: noise, one step, many steps."""

from attacks.optimisers.noise import Noise
from attacks.optimisers.pgd import FGSM, PGD, PGDDecay

__all__ = ["FGSM", "PGD", "Noise", "PGDDecay"]
