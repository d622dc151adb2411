"""Defenses, one file each; `defenses/base.py` is the whole contract."""

from defenses.act import ACT
from defenses.adp import ADP
from defenses.base import DEFENSES, Batch, Defense, InnerMaximiser, MemberFactory, Range, wrong_strata
from defenses.eat import EAT
from defenses.ensembles import EnsembleAT, PlainEnsemble
from defenses.est import EST
from defenses.hm import HM
from defenses.mixup import Mixup
from defenses.own_model import GivenModel
from defenses.panum import Panum
from defenses.pgd_at import PGDAT
from defenses.pixels import Pixels
from defenses.random_transforms import RandomTransforms
from defenses.trades import TRADES
from defenses.vanilla import Vanilla

ALL = ("vanilla", "pgd_at", "trades", "adp", "mixup", "random_transforms", "eat")
"""The defenses that `--defenses all` selects."""

GROUPS: dict[str, tuple[str, ...]] = {
    "all": ALL,
    "controls": ("ensemble", "ensemble_at"),
    "dml": ("est", "act", "hm", "panum"),
}
"""Names that select several defenses on the command line."""

__all__ = [
    "ACT",
    "ADP",
    "ALL",
    "DEFENSES",
    "EAT",
    "EST",
    "GROUPS",
    "HM",
    "PGDAT",
    "TRADES",
    "Batch",
    "Defense",
    "EnsembleAT",
    "GivenModel",
    "InnerMaximiser",
    "MemberFactory",
    "Mixup",
    "Panum",
    "Pixels",
    "PlainEnsemble",
    "RandomTransforms",
    "Range",
    "Vanilla",
    "wrong_strata",
]
