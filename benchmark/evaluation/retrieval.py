"""The queries are attacked, the gallery is clean."""

from __future__ import annotations

import numpy as np

from benchmark.evaluation.scenario import SCENARIOS, Scenario, ScenarioScore
from benchmark.evaluation.views import Views
from benchmark.metrics import retrieve


@SCENARIOS.register("retrieval-query")
class RetrievalQuery(Scenario):
    """Each attacked image queries the clean images of the pool, its own left out: R@1, R@2, R@4, R@8, mAP@R.

    A randomised model's outcomes are means over several passes, each with new draws on both sides.
    """

    def score(self, views: Views) -> ScenarioScore:
        """The metrics "r1", "r2", "r4", "r8", "map_r", and each query's success rate (kept queries,)."""
        outcomes = [
            retrieve(
                views.attacked(turn), views.clean(turn), views.labels, views.labels, views.ids, views.ids
            )
            for turn in range(views.passes)
        ]
        means = [outcome.means() for outcome in outcomes]
        metrics = {name: float(np.mean([mean[name] for mean in means])) for name in means[0]}
        success = np.mean([outcome.recall[1].numpy() for outcome in outcomes], axis=0)
        arrays = {"success": success.astype(np.float32), "queries": outcomes[0].kept.numpy().astype(np.int32)}
        return ScenarioScore(metrics, arrays)
