"""Retrieval scenarios: either the queries or the gallery are attacked, the other side is clean."""

from __future__ import annotations

from math import sqrt
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from benchmark.evaluation.agreement import disagreement
from benchmark.evaluation.pool_embeddings import PoolEmbeddings
from benchmark.evaluation.scenario import SCENARIOS, Scenario, ScenarioScore
from benchmark.metrics import RetrievalOutcomes, retrieve


class Retrieval(Scenario):
    """Each image queries the others of the pool, its own id excluded: R@K, mAP@R, R-precision.

    Where a data set has separate queries and gallery, the former query the latter. Scores of a randomised
    model are means over repeats, each with new draws on both sides.
    """

    def query_and_gallery(self, embeddings: PoolEmbeddings, repeat: int) -> tuple[Tensor, Tensor]:
        """Embeddings of the whole pool for use as queries and for use as the gallery, shape (n, d) each."""
        raise NotImplementedError

    def score(self, embeddings: PoolEmbeddings) -> ScenarioScore:
        """Scores the pool.

        Returns:
            The metrics, and the arrays "success", the fraction of repeats in which each query is right at 1,
            float32, and "queries", the query's index in the pool, int32; shape (k,), for the k queries that
            have a positive. Of a randomised model with two repeats or more also "halves", the success in
            either half of the repeats, float32, shape (2, k).
        """
        return _mean_score(embeddings, self.retrieve_each(embeddings))

    def retrieve_each(self, embeddings: PoolEmbeddings) -> list[RetrievalOutcomes]:
        """Runs retrieval once for each repeat."""
        return [
            _retrieve(embeddings, *self.query_and_gallery(embeddings, repeat))
            for repeat in range(embeddings.repeats)
        ]


@SCENARIOS.register("retrieval-query")
class RetrievalQuery(Retrieval):
    """Each attacked query meets the clean gallery, its own image excluded: R@K, mAP@R, R-precision."""

    per_query: ClassVar[bool] = True

    def query_and_gallery(self, embeddings: PoolEmbeddings, repeat: int) -> tuple[Tensor, Tensor]:
        """Attacked embeddings for the queries, clean ones for the gallery, shape (n, d) each."""
        return embeddings.attacked(repeat), embeddings.clean(repeat)

    def score(self, embeddings: PoolEmbeddings) -> ScenarioScore:
        """Scores the pool as `Retrieval.score` does, and adds what the checks for gradient masking need.

        These are the array "objective", the attack's objective at each query of "queries", and the
        diagnostics of attacked images embedded again: "rescored_r1", with "rescored_error" and
        "rescored_passes" of a randomised model, "rescored_difference" and "rescored_allowed" of others; of
        some embedded by a process that has nothing else: "isolated_difference", or "isolated_r1" and
        "isolated_error", the mean difference of R@1 over repeats and its standard error; and "disagreement"
        and "compared_queries" of outcomes and the attack's objective.
        """
        outcomes = self.retrieve_each(embeddings)
        score = _mean_score(embeddings, outcomes)
        if embeddings.objective is not None:
            score.arrays["objective"] = embeddings.objective[score.arrays["queries"]].float().numpy()
        if embeddings.attack is not None:
            score.diagnostics.update(_rescore(embeddings, outcomes) | _isolate(embeddings, outcomes))
            score.diagnostics.update(_disagreement(embeddings, score))
        return score


@SCENARIOS.register("retrieval-gallery")
class RetrievalGallery(Retrieval):
    """Each clean query meets the attacked gallery, its own image excluded: R@K, mAP@R, R-precision.

    One adversary attacks the gallery as a whole, so the worst case is the lowest mean over attacks, not the
    mean of each query's lowest value.
    """

    def query_and_gallery(self, embeddings: PoolEmbeddings, repeat: int) -> tuple[Tensor, Tensor]:
        """Clean embeddings for the queries, attacked ones for the gallery, shape (n, d) each."""
        return embeddings.clean(repeat), embeddings.attacked(repeat)


def _retrieve(embeddings: PoolEmbeddings, queries: Tensor, gallery: Tensor) -> RetrievalOutcomes:
    """Runs retrieval on the pool's embeddings, shape (n, d) each, reduced to the split of the data set."""
    labels, ids = embeddings.labels, embeddings.ids
    query_indices, gallery_indices = embeddings.query_indices, embeddings.gallery_indices
    if embeddings.has_query_split:
        queries, gallery = queries[query_indices], gallery[gallery_indices]
    # On the model's device, because ranking a large gallery is slow on the CPU.
    return retrieve(
        queries.to(embeddings.device),
        gallery.to(embeddings.device),
        labels[query_indices],
        labels[gallery_indices],
        ids[query_indices],
        ids[gallery_indices],
        ks=embeddings.ks,
    )


def _mean_score(embeddings: PoolEmbeddings, outcomes: list[RetrievalOutcomes]) -> ScenarioScore:
    """Averages metrics and successes over repeats."""
    means = [outcome.means() for outcome in outcomes]
    metrics = {name: float(np.mean([mean[name] for mean in means])) for name in means[0]}
    right = np.stack([outcome.recall[1].numpy() for outcome in outcomes])
    queries = embeddings.query_indices[outcomes[0].kept].numpy()
    arrays = {"success": right.mean(axis=0).astype(np.float32), "queries": queries.astype(np.int32)}
    if len(outcomes) > 1:
        halves = [right[first::2].mean(axis=0) for first in (0, 1)]
        arrays["halves"] = np.stack(halves).astype(np.float32)
    return ScenarioScore(metrics, arrays)


def _disagreement(embeddings: PoolEmbeddings, score: ScenarioScore) -> dict[str, float]:
    queries, success = (torch.from_numpy(score.arrays[name]) for name in ("queries", "success"))
    return disagreement(embeddings, queries.long(), success)


def _rescore(embeddings: PoolEmbeddings, outcomes: list[RetrievalOutcomes]) -> dict[str, float]:
    """R@1 of the attacked images embedded again, over as many repeats as the recorded R@1.

    Each repeat uses the clean gallery of the recorded repeat that it is compared with. Of a model that is not
    randomised the embeddings themselves are compared as well. Empty for a randomised model with a single
    repeat, because the standard error is then unknown.
    """
    if embeddings.randomised and embeddings.repeats == 1:
        return {}
    again = embeddings.reembed("attacked")
    diagnostics = {}
    if not embeddings.randomised:
        difference = float((again - embeddings.attacked()).abs().max())
        diagnostics = {"rescored_difference": difference, "rescored_allowed": embeddings.allowed_difference}
    rescored = []
    for repeat in range(embeddings.repeats):
        again = embeddings.reembed("attacked", repeat) if repeat else again
        rescored.append(_retrieve(embeddings, again, embeddings.clean(repeat)).means()["r1"])
    diagnostics["rescored_r1"] = float(np.mean(rescored))
    if embeddings.randomised:
        differences = np.subtract(rescored, [outcome.means()["r1"] for outcome in outcomes])
        diagnostics["rescored_error"] = float(np.std(differences, ddof=1)) / sqrt(embeddings.repeats)
        diagnostics["rescored_passes"] = float(embeddings.repeats)
    return diagnostics


def _isolate(embeddings: PoolEmbeddings, outcomes: list[RetrievalOutcomes]) -> dict[str, float]:
    """Compares some attacked images with the same embedded in a process that has nothing else."""
    if (found := embeddings.embed_isolated()) is None or (embeddings.randomised and embeddings.repeats == 1):
        return {}
    chosen, again = found
    if not embeddings.randomised:
        return {"isolated_difference": float((again[0] - embeddings.attacked()[chosen]).abs().max())}
    differences = []
    for repeat, scored in enumerate(outcomes):
        mixed = embeddings.attacked(repeat).index_copy(0, chosen, again[repeat])
        other = _retrieve(embeddings, mixed, embeddings.clean(repeat))
        kept = torch.isin(embeddings.query_indices[scored.kept], chosen)
        differences.append(float((other.recall[1].double() - scored.recall[1].double())[kept].mean()))
    error = float(np.std(differences, ddof=1)) / sqrt(embeddings.repeats)
    return {"isolated_r1": float(np.mean(differences)), "isolated_error": error}
