"""Scoring one model on clean and attacked images, scenario by scenario."""

from benchmark.evaluation.clustering import Clustering
from benchmark.evaluation.diagnose import diagnose
from benchmark.evaluation.fraction import attacked_indices
from benchmark.evaluation.ranking import Ranking
from benchmark.evaluation.retrieval import RetrievalGallery, RetrievalQuery
from benchmark.evaluation.scenario import SCENARIOS, Scenario, ScenarioScore
from benchmark.evaluation.verification import Verification
from benchmark.evaluation.views import Views

__all__ = [
    "SCENARIOS",
    "Clustering",
    "Ranking",
    "RetrievalGallery",
    "RetrievalQuery",
    "Scenario",
    "ScenarioScore",
    "Verification",
    "Views",
    "attacked_indices",
    "diagnose",
]
