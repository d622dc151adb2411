"""Either side of retrieval is attacked, the queries or the gallery; the other is clean."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from benchmark.evaluation.scenario import SCENARIOS, Scenario, ScenarioScore
from benchmark.evaluation.views import Views
from benchmark.metrics import retrieve


class Retrieval(Scenario):
    """Each image queries the others of the pool, its own id left out: R@1, R@2, R@4, R@8, mAP@R.

    A randomised model's outcomes are means over several passes, each with new draws on both sides.
    """

    def sides(self, views: Views, turn: int) -> tuple[Tensor, Tensor]:
        """Embeddings of the queries and of the gallery in one pass, (n, d) each."""
        raise NotImplementedError

    def score(self, views: Views) -> ScenarioScore:
        """The metrics "r1", "r2", "r4", "r8", "map_r", and each query's success rate (kept queries,)."""
        outcomes = [
            retrieve(*self.sides(views, turn), views.labels, views.labels, views.ids, views.ids)
            for turn in range(views.passes)
        ]
        means = [outcome.means() for outcome in outcomes]
        metrics = {name: float(np.mean([mean[name] for mean in means])) for name in means[0]}
        success = np.mean([outcome.recall[1].numpy() for outcome in outcomes], axis=0)
        arrays = {"success": success.astype(np.float32), "queries": outcomes[0].kept.numpy().astype(np.int32)}
        return ScenarioScore(metrics, arrays)


@SCENARIOS.register("retrieval-query")
class RetrievalQuery(Retrieval):
    """Each attacked image queries the clean pool, its own image left out: R@1, R@2, R@4, R@8, mAP@R."""

    def sides(self, views: Views, turn: int) -> tuple[Tensor, Tensor]:
        """Attacked queries, a clean gallery."""
        return views.attacked(turn), views.clean(turn)

    def score(self, views: Views) -> ScenarioScore:
        """As above; and for the checks the objective's value at each kept query, and R@1 scored once more."""
        score = super().score(views)
        if views.objective is not None:
            score.arrays["objective"] = views.objective[score.arrays["queries"]].float().numpy()
        if views.attack is not None:
            sides = views.again(), views.clean()
            again = retrieve(*sides, views.labels, views.labels, views.ids, views.ids)
            score.diagnostics["rescored_r1"] = again.means()["r1"]
        return score


@SCENARIOS.register("retrieval-gallery")
class RetrievalGallery(Retrieval):
    """Each clean image queries the attacked pool, its own image left out: R@1, R@2, R@4, R@8, mAP@R.

    One adversary attacks the gallery, so a worst case is that of one gallery: the lowest mean over attacks,
    not each query's lowest.
    """

    def sides(self, views: Views, turn: int) -> tuple[Tensor, Tensor]:
        """Clean queries, an attacked gallery."""
        return views.clean(turn), views.attacked(turn)
