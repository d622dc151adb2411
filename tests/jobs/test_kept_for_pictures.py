"""What an attack job keeps for the board's pictures: attacked queries, and the classes hit worst."""

from types import SimpleNamespace

import numpy as np
import pytest

from benchmark.evaluation import ScenarioScore
from benchmark.jobs import AttackJob, RunContext
from benchmark.jobs.attacked_images import SHOWN
from benchmark.jobs.scored_run import ScoredRun
from benchmark.records import CLEAN

from ..planning.plans import plan
from .test_attacked_images import Pool

QUERY, CLUSTERS = "retrieval-query", "clustering"
ATTACK = "pgd[objective=neighbour]"


@pytest.fixture
def context(tmp_path):
    made = RunContext(output=tmp_path, cache=tmp_path, data=tmp_path, device="cpu", commit="")
    made.store.check_writable()
    return made


@pytest.fixture
def executed(tmp_path, context, monkeypatch):
    """Executes a job whose attack is given, and returns what the store has of its cells."""

    def execute(attack=ATTACK, embeddings=None, scores=None, context=context, **changed):
        made = plan(tmp_path, attacks=ATTACK, eps=["0.1"])
        job = next(one.job for one in made.attacks if one.job.attack == attack)
        job = job.model_copy(update=changed)
        given = {QUERY: ScenarioScore({"r1": 0.5}), CLUSTERS: ScenarioScore({"ami": 0.5, "nmi": 0.5})}
        run = ScoredRun({**given, **(scores or {})}, 0.1, {}, embeddings)
        monkeypatch.setattr(AttackJob, "attack_and_score", lambda *given: run)
        job.execute(context)
        store = context.store
        return SimpleNamespace(
            images=store.images(job.cells[QUERY]),
            clusters=store.arrays(job.cells[CLUSTERS]),
            queries=store.arrays(job.cells[QUERY]),
            record=store.cell(job.cells[CLUSTERS]),
        )

    return execute


def test_a_shown_attack_keeps_a_few_queries_and_the_classes_hit_worst(executed):
    found = executed(embeddings=Pool(12, 8))
    assert len(found.images["query"]) == SHOWN and found.images["asked"].item() == 0
    assert {"hit_clean", "hit_attacked", "hit_labels", "hit_classes", "hit_lost"} == set(found.clusters)
    assert found.record.arrays == sorted(found.clusters) and found.queries == {}
    assert found.clusters["hit_clean"].dtype == np.float16


def test_as_many_queries_as_were_asked_for_are_kept_of_every_attack(executed, context):
    asked = context.model_copy(update={"save_images": 6})
    found = executed(embeddings=Pool(12, 8), context=asked, shown=False)
    assert len(found.images["query"]) == 6 and found.images["asked"].item() == 6


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"shown": False}, "it is not the one that is shown"),
        ({"follows": ("c" * 20,)}, "it attacks what still stands"),
        ({"attacked_fraction": 0.5}, "it attacks a part"),
    ],
)
def test_other_attacks_keep_no_queries(executed, changed, why):
    found = executed(embeddings=Pool(12, 8), **changed)
    assert found.images == {}, why
    assert found.clusters


def test_where_nothing_was_attacked_nothing_is_kept(executed):
    found = executed(embeddings=None)
    assert found.images == {} and found.clusters == {}


def test_the_clean_pool_has_no_classes_hit(executed):
    found = executed(attack=CLEAN, embeddings=Pool(12, 8))
    assert found.images == {} and found.clusters == {}


@pytest.mark.parametrize("score", ["k-means failed", ScenarioScore({"ami": float("nan"), "nmi": 0.5})])
def test_clusters_without_a_score_keep_no_classes(executed, score):
    found = executed(embeddings=Pool(12, 8), scores={CLUSTERS: score})
    assert found.record.status == "failed" and found.clusters == {}
    assert len(found.images["query"]) == SHOWN
