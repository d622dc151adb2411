"""The clustering scenario: the pool, or a fraction of it, is attacked, and all of it is clustered."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from benchmark.core.parameters import Number
from benchmark.evaluation.pool_embeddings import PoolEmbeddings
from benchmark.evaluation.scenario import SCENARIOS, Scenario, ScenarioScore
from benchmark.metrics import KMEANS_SEEDS, cluster, mean_clustering_metrics

DISPLAYED_CLASSES = 12
"""Number of classes whose embeddings are kept for plots; more could not be distinguished by color."""

DISPLAYED_IMAGES = 20
"""Number of images kept of each of these classes, the first of the pool; more would overlap."""


@SCENARIOS.register("clustering")
class Clustering(Scenario):
    """k-means on the attacked pool, k the number of classes: AMI, NMI and pairwise F1.

    Metrics cover the whole pool, queries and gallery together, whatever the attacked fraction, and are means
    over five k-means seeds. A randomised model is embedded again for each seed.

    Attributes:
        fraction: attacked fraction of the pool, in (0, 1]; the rest stays clean.
    """

    fraction: Annotated[Number, Field(gt=0, le=1)] = 1.0

    @property
    def attacked_fraction(self) -> float:
        """Attacked fraction of the pool, in (0, 1]."""
        return self.fraction

    def score(self, embeddings: PoolEmbeddings) -> ScenarioScore:
        """Clusters the pool once for each k-means seed.

        Returns:
            The metrics "ami", "nmi" and "f1". The arrays "assignments", int32, shape (5, n), and "labels",
            int32, shape (n,); for plots "display", embeddings of m images, float16, shape (m, d), and
            "display_labels", int32, shape (m,).
        """
        labels = embeddings.labels.numpy()
        classes = int(labels.max()) + 1
        assignments = np.concatenate(
            [
                cluster(embeddings.attacked(repeat), classes, [seed])
                for repeat, seed in enumerate(KMEANS_SEEDS)
            ]
        )
        shown = np.concatenate(
            [
                np.flatnonzero(labels == label)[:DISPLAYED_IMAGES]
                for label in range(min(classes, DISPLAYED_CLASSES))
            ]
        )
        arrays: dict[str, np.ndarray] = {
            "assignments": assignments.astype(np.int32),
            "labels": labels.astype(np.int32),
            "display": embeddings.attacked().numpy()[shown].astype(np.float16),
            "display_labels": labels[shown].astype(np.int32),
        }
        return ScenarioScore(mean_clustering_metrics(labels, assignments), arrays)
