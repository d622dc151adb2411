"""Defenses: one file each. `defenses/base.py` is the whole contract."""

from defenses.adp import ADP
from defenses.base import DEFENSES, Batch, Defense, InnerMaximiser, MemberFactory
from defenses.eat import EAT
from defenses.mixup import Mixup
from defenses.pgd_at import PGDAT
from defenses.pixels import Pixels
from defenses.random_transforms import RandomTransforms
from defenses.trades import TRADES
from defenses.vanilla import Vanilla

ALL = ("vanilla", "pgd_at", "trades", "adp", "mixup", "random_transforms", "eat")
"""What `--defenses all` stands for, now and later."""

GROUPS: dict[str, tuple[str, ...]] = {"all": ALL}
"""Names that stand for several defenses on the command line."""

__all__ = [
    "ADP",
    "ALL",
    "DEFENSES",
    "EAT",
    "GROUPS",
    "PGDAT",
    "TRADES",
    "Batch",
    "Defense",
    "InnerMaximiser",
    "MemberFactory",
    "Mixup",
    "Pixels",
    "RandomTransforms",
    "Vanilla",
]
