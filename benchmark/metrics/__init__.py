"""Figures of merit, embeddings in and numbers out: k-means scored against the classes, and retrieval."""

from benchmark.metrics.clustering import KMEANS_SEEDS, cluster, clustering_metrics, mean_clustering_metrics
from benchmark.metrics.kmeans import KMEANS_ITERATIONS, kmeans_assign
from benchmark.metrics.retrieval import RECALL_KS, RetrievalOutcomes, retrieve

__all__ = [
    "KMEANS_ITERATIONS",
    "KMEANS_SEEDS",
    "RECALL_KS",
    "RetrievalOutcomes",
    "cluster",
    "clustering_metrics",
    "kmeans_assign",
    "mean_clustering_metrics",
    "retrieve",
]
