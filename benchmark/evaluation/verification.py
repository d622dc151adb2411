"""The verification scenario: one image of each pair is attacked, the other is clean."""

from __future__ import annotations

import numpy as np

from benchmark.evaluation.pool_embeddings import PoolEmbeddings
from benchmark.evaluation.scenario import SCENARIOS, Scenario, ScenarioScore
from benchmark.metrics import pair_similarity, verification_metrics, verification_pairs


@SCENARIOS.register("verification")
class Verification(Scenario):
    """Whether pairs are of one class, one image of each attacked: TAR at FAR 1e-2 and 1e-3, and EER.

    Each image is the attacked side of one pair, and its partner any other of the pool: queries and gallery
    are not distinguished. All pairs share a threshold, so metrics cover the whole pool, and the worst case is
    the lowest TAR, or the highest EER, over attacks. Metrics of a randomised model are means over repeats,
    each with new draws on both sides.
    """

    def score(self, embeddings: PoolEmbeddings) -> ScenarioScore:
        """Scores one pair for each image of the pool.

        Returns:
            The metrics, and the arrays "similarity", each pair's mean cosine similarity over repeats,
            float32, and "same", whether the pair is of one class, bool; shape (n,).
        """
        pairs = verification_pairs(embeddings.labels, embeddings.ids)
        similarities = [
            pair_similarity(embeddings.attacked(repeat), embeddings.clean(repeat)[pairs.partner])
            for repeat in range(embeddings.repeats)
        ]
        each = [verification_metrics(similarity, pairs.same) for similarity in similarities]
        metrics = {name: float(np.mean([values[name] for values in each])) for name in each[0]}
        mean_similarity = np.mean([similarity.numpy() for similarity in similarities], axis=0)
        arrays = {"similarity": mean_similarity.astype(np.float32), "same": pairs.same.numpy()}
        return ScenarioScore(metrics, arrays)
