"""What attacks maximise: one scalar an image."""

from attacks.objectives.base import OBJECTIVES, Objective, Score
from attacks.objectives.centroid_ce import CentroidCE
from attacks.objectives.neighbour import Neighbour
from attacks.objectives.own import Own
from attacks.objectives.pool import Pool
from attacks.objectives.scatter import Scatter
from attacks.objectives.shift import Shift

__all__ = ["OBJECTIVES", "CentroidCE", "Neighbour", "Objective", "Own", "Pool", "Scatter", "Score", "Shift"]
