"""Scoring one model on clean and attacked images, scenario by scenario."""

from benchmark.evaluation.clustering import Clustering
from benchmark.evaluation.retrieval import RetrievalQuery
from benchmark.evaluation.scenario import SCENARIOS, Scenario, ScenarioScore
from benchmark.evaluation.views import Views

__all__ = ["SCENARIOS", "Clustering", "RetrievalQuery", "Scenario", "ScenarioScore", "Views"]
