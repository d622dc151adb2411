"""Defenses, one file each; `defenses/base.py` is the whole contract."""

from defenses.act import ACT
from defenses.adp import ADP
from defenses.base import DEFENSES, Batch, Defense, InnerMaximiser, MemberFactory, Range, wrong_strata
from defenses.ca_tride import CATRIDE
from defenses.center_at import CenterAT
from defenses.eat import EAT
from defenses.ensembles import EnsembleAT, PlainEnsemble
from defenses.est import EST
from defenses.fare import FARE
from defenses.groups import ALL, CONTROLS, GROUPS
from defenses.hm import HM
from defenses.metric_preserving import MetricPreserving
from defenses.mixup import Mixup
from defenses.own_model import GivenModel
from defenses.panum import Panum
from defenses.pgd_at import PGDAT
from defenses.pixels import Pixels
from defenses.random_transforms import RandomTransforms
from defenses.trades import TRADES
from defenses.vanilla import Vanilla

__all__ = [
    "ACT",
    "ADP",
    "ALL",
    "CATRIDE",
    "CONTROLS",
    "DEFENSES",
    "EAT",
    "EST",
    "FARE",
    "GROUPS",
    "HM",
    "PGDAT",
    "TRADES",
    "Batch",
    "CenterAT",
    "Defense",
    "EnsembleAT",
    "GivenModel",
    "InnerMaximiser",
    "MemberFactory",
    "MetricPreserving",
    "Mixup",
    "Panum",
    "Pixels",
    "PlainEnsemble",
    "RandomTransforms",
    "Range",
    "Vanilla",
    "wrong_strata",
]
