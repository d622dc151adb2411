"""Metrics of clustering, retrieval and verification, computed from embeddings or assignments."""

from benchmark.metrics.clustering import KMEANS_SEEDS, cluster, clustering_metrics, mean_clustering_metrics
from benchmark.metrics.kmeans import KMEANS_ITERATIONS, kmeans_assign
from benchmark.metrics.pairs import Pairs, verification_pairs
from benchmark.metrics.ranking import pair_similarity
from benchmark.metrics.retrieval import RECALL_KS, RetrievalOutcomes, retrieve
from benchmark.metrics.ties import TIE_TOLERANCE
from benchmark.metrics.verification import FARS, verification_metrics

__all__ = [
    "FARS",
    "KMEANS_ITERATIONS",
    "KMEANS_SEEDS",
    "RECALL_KS",
    "TIE_TOLERANCE",
    "Pairs",
    "RetrievalOutcomes",
    "cluster",
    "clustering_metrics",
    "kmeans_assign",
    "mean_clustering_metrics",
    "pair_similarity",
    "retrieve",
    "verification_metrics",
    "verification_pairs",
]
