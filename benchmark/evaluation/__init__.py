"""Scoring one model on clean and attacked images, scenario by scenario, and checking the scores."""

from benchmark.evaluation.attacked_fraction import attacked_indices
from benchmark.evaluation.check_input import CheckInput, ScoredAttack, ScoredClean
from benchmark.evaluation.checks import run_checks
from benchmark.evaluation.clustering import Clustering
from benchmark.evaluation.consistency_checks import ObjectiveDisagrees, WrongGradient
from benchmark.evaluation.diagnose import diagnose
from benchmark.evaluation.masking_check import CHECKS, Comparison, MaskingCheck
from benchmark.evaluation.pool_embeddings import PoolEmbeddings
from benchmark.evaluation.ranking import Ranking
from benchmark.evaluation.retrieval import RetrievalGallery, RetrievalQuery
from benchmark.evaluation.scenario import SCENARIOS, Scenario, ScenarioScore
from benchmark.evaluation.verification import Verification

__all__ = [
    "CHECKS",
    "SCENARIOS",
    "CheckInput",
    "Clustering",
    "Comparison",
    "MaskingCheck",
    "ObjectiveDisagrees",
    "PoolEmbeddings",
    "Ranking",
    "RetrievalGallery",
    "RetrievalQuery",
    "Scenario",
    "ScenarioScore",
    "ScoredAttack",
    "ScoredClean",
    "Verification",
    "WrongGradient",
    "attacked_indices",
    "diagnose",
    "run_checks",
]
