"""Objectives that attacks maximize: one scalar per image."""

from attacks.objectives.base import (
    OBJECTIVES,
    AnnealedScore,
    Objective,
    ObjectiveSpec,
    PooledScore,
    RatedPool,
    Score,
    anneal,
)
from attacks.objectives.centroid import Centroid
from attacks.objectives.centroid_ce import CentroidCE
from attacks.objectives.collapse import Collapse
from attacks.objectives.gallery_away import GalleryAway
from attacks.objectives.hub import Hub
from attacks.objectives.information import Information
from attacks.objectives.neighbour import Neighbour
from attacks.objectives.own import Own
from attacks.objectives.pair import Pair
from attacks.objectives.pool import Pool
from attacks.objectives.recluster import Recluster
from attacks.objectives.scatter import Scatter
from attacks.objectives.shift import Shift
from attacks.objectives.target import Target

__all__ = [
    "OBJECTIVES",
    "AnnealedScore",
    "Centroid",
    "CentroidCE",
    "Collapse",
    "GalleryAway",
    "Hub",
    "Information",
    "Neighbour",
    "Objective",
    "ObjectiveSpec",
    "Own",
    "Pair",
    "Pool",
    "PooledScore",
    "RatedPool",
    "Recluster",
    "Scatter",
    "Score",
    "Shift",
    "Target",
    "anneal",
]
