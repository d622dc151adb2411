"""Either side of retrieval is attacked, the queries or the gallery; the other is clean."""

from __future__ import annotations

from math import sqrt

import numpy as np
from torch import Tensor

from benchmark.evaluation.pool_embeddings import PoolEmbeddings
from benchmark.evaluation.scenario import SCENARIOS, Scenario, ScenarioScore
from benchmark.metrics import RetrievalOutcomes, retrieve


class Retrieval(Scenario):
    """Each image queries the others of the pool, its own id left out: R@K, mAP@R, R-precision.

    Where a data set has queries and a gallery of their own, those query these. A randomised model's outcomes
    are means over several passes, each with new draws on both sides.
    """

    def sides(self, views: PoolEmbeddings, turn: int) -> tuple[Tensor, Tensor]:
        """The pool's embeddings in one pass, (n, d) each: as the queries have it, as the gallery has it."""
        raise NotImplementedError

    def score(self, views: PoolEmbeddings) -> ScenarioScore:
        """The metrics, and the success rate and index in the pool of each query with a positive, (kept,)."""
        return self.figures(views, self.outcomes(views))

    def outcomes(self, views: PoolEmbeddings) -> list[RetrievalOutcomes]:
        """What becomes of the queries in each pass."""
        return [_outcomes(views, *self.sides(views, turn)) for turn in range(views.passes)]

    def figures(self, views: PoolEmbeddings, outcomes: list[RetrievalOutcomes]) -> ScenarioScore:
        """What `score` returns, from the outcomes of each pass."""
        means = [outcome.means() for outcome in outcomes]
        metrics = {name: float(np.mean([mean[name] for mean in means])) for name in means[0]}
        success = np.mean([outcome.recall[1].numpy() for outcome in outcomes], axis=0)
        queries = views.asking[outcomes[0].kept].numpy()
        arrays = {"success": success.astype(np.float32), "queries": queries.astype(np.int32)}
        return ScenarioScore(metrics, arrays)


def _outcomes(views: PoolEmbeddings, asking: Tensor, stored: Tensor) -> RetrievalOutcomes:
    labels, ids = views.labels, views.ids
    if views.separate:
        asking, stored = asking[views.asking], stored[views.stored]
    # Large galleries are much work, and a GPU is made for it.
    asking, stored = asking.to(views.device), stored.to(views.device)
    queries, gallery = views.asking, views.stored
    return retrieve(asking, stored, labels[queries], labels[gallery], ids[queries], ids[gallery], ks=views.ks)


def _rescored(views: PoolEmbeddings, outcomes: list[RetrievalOutcomes]) -> dict[str, float]:
    """R@1 over as many passes once more, each against the clean gallery of the pass that it is held against.

    Nothing for a single pass of a randomised model, whose deviation nobody would know.
    """
    if views.randomised and views.passes == 1:
        return {}
    once_more = [
        _outcomes(views, views.again(turn), views.clean(turn)).means()["r1"] for turn in range(views.passes)
    ]
    found = {"rescored_r1": float(np.mean(once_more))}
    if views.randomised:
        differences = np.subtract(once_more, [outcome.means()["r1"] for outcome in outcomes])
        found["rescored_error"] = float(np.std(differences, ddof=1)) / sqrt(views.passes)
        found["rescored_passes"] = float(views.passes)
    return found


@SCENARIOS.register("retrieval-query")
class RetrievalQuery(Retrieval):
    """Each attacked query meets the clean gallery, its own image left out: R@K, mAP@R, R-precision."""

    def sides(self, views: PoolEmbeddings, turn: int) -> tuple[Tensor, Tensor]:
        """Attacked queries, a clean gallery."""
        return views.attacked(turn), views.clean(turn)

    def score(self, views: PoolEmbeddings) -> ScenarioScore:
        """As above; and for the checks the objective's value at each kept query, and R@1 scored once more."""
        outcomes = self.outcomes(views)
        score = self.figures(views, outcomes)
        if views.objective is not None:
            score.arrays["objective"] = views.objective[score.arrays["queries"]].float().numpy()
        if views.attack is not None:
            score.diagnostics.update(_rescored(views, outcomes))
        return score


@SCENARIOS.register("retrieval-gallery")
class RetrievalGallery(Retrieval):
    """Each clean query meets the attacked gallery, its own image left out: R@K, mAP@R, R-precision.

    One adversary attacks the gallery, so a worst case is that of one gallery: the lowest mean over attacks,
    not each query's lowest.
    """

    def sides(self, views: PoolEmbeddings, turn: int) -> tuple[Tensor, Tensor]:
        """Clean queries, an attacked gallery."""
        return views.clean(turn), views.attacked(turn)
