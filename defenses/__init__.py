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

ALL = ("vanilla", "pgd_at", "trades", "adp", "mixup", "random_transforms", "eat")
"""The defenses that `--defenses all` selects."""

CONTROLS: dict[str, tuple[str, ...]] = {"ensemble": ("adp",), "ensemble_at": ("eat",)}
"""Defenses that are controls of others, and of which: the same cost without what the others add."""

GROUPS: dict[str, tuple[str, ...]] = {
    "all": ALL,
    "controls": tuple(CONTROLS),
    "dml": ("est", "act", "hm", "panum", "ca_tride", "center_at", "metric_preserving", "fare"),
}
"""Names that select several defenses on the command line."""

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
