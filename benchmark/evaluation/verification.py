"""One image of each pair is attacked, the other is clean."""

from __future__ import annotations

import numpy as np
from torch import Tensor
from torch.nn import functional as F

from benchmark.evaluation.pool_embeddings import PoolEmbeddings
from benchmark.evaluation.scenario import SCENARIOS, Scenario, ScenarioScore
from benchmark.metrics import rounded, verification_metrics, verification_pairs


@SCENARIOS.register("verification")
class Verification(Scenario):
    """Whether pairs are of one class, one image of each attacked: TAR at FAR 1e-2 and 1e-3, and EER.

    Each image is the attacked side of one pair, and its partner any other of the pool: queries and gallery
    are not told apart. A figure is one of the whole pool, because all pairs share a threshold: its worst case
    is the lowest TAR, or the highest EER, over attacks. A randomised model's figures are means over several
    passes, each with new draws on both sides.
    """

    def score(self, views: PoolEmbeddings) -> ScenarioScore:
        """The metrics, each pair's mean similarity over passes (n,), and whether it is of one class (n,)."""
        pairs = verification_pairs(views.labels, views.ids)
        passes = [
            _cosine(views.attacked(turn), views.clean(turn)[pairs.partner]) for turn in range(views.passes)
        ]
        figures = [verification_metrics(similarity, pairs.same) for similarity in passes]
        metrics = {name: float(np.mean([figure[name] for figure in figures])) for name in figures[0]}
        similarity = np.mean([similarity.numpy() for similarity in passes], axis=0)
        arrays = {"similarity": similarity.astype(np.float32), "same": pairs.same.numpy()}
        return ScenarioScore(metrics, arrays)


def _cosine(first: Tensor, second: Tensor) -> Tensor:
    return rounded((F.normalize(first.double(), dim=1) * F.normalize(second.double(), dim=1)).sum(1))
