"""The pool, or a share of it, is attacked, then all of it is clustered."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from benchmark.core.parameters import Number
from benchmark.evaluation.pool_embeddings import PoolEmbeddings
from benchmark.evaluation.scenario import SCENARIOS, Scenario, ScenarioScore
from benchmark.metrics import KMEANS_SEEDS, cluster, mean_clustering_metrics

DISPLAYED_CLASSES = 12
"""How many classes' embeddings are kept for pictures; more would not be told apart by colour."""

DISPLAYED_IMAGES = 20
"""How many images of each of them, the first of the pool; more would hide each other."""


@SCENARIOS.register("clustering")
class Clustering(Scenario):
    """k-means on the attacked pool, k the number of classes: AMI, NMI and pairwise F1.

    Figures are those of the whole pool, queries and gallery together, whatever the fraction, and means over
    five k-means seeds. A randomised model is embedded anew for each.

    Attributes:
        fraction: share of the pool that is attacked, in (0, 1]; the rest stays clean.
    """

    fraction: Annotated[Number, Field(gt=0, le=1)] = 1.0

    @property
    def share(self) -> float:
        """The fraction."""
        return self.fraction

    def score(self, views: PoolEmbeddings) -> ScenarioScore:
        """The metrics "ami", "nmi", "f1", the assignments (5, n), and some embeddings for pictures."""
        labels = views.labels.numpy()
        classes = int(labels.max()) + 1
        assignments = np.concatenate(
            [cluster(views.attacked(turn), classes, [seed]) for turn, seed in enumerate(KMEANS_SEEDS)]
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
            "display": views.attacked().numpy()[shown].astype(np.float16),
            "display_labels": labels[shown].astype(np.int32),
        }
        return ScenarioScore(mean_clustering_metrics(labels, assignments), arrays)
