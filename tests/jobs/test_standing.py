"""The queries that still stand, read from earlier cells, and the score of one more attack on them."""

import numpy as np
import pytest

from benchmark.core.errors import BenchmarkError
from benchmark.evaluation import ScenarioScore
from benchmark.jobs.standing import Standing
from benchmark.records import CellKey, CellRecord, Provenance, Store

PROVENANCE = Provenance(protocol="1", commit="0123abc", packages={}, hardware="a processor", created="now")
QUERIES = np.array([0, 2, 5, 7], np.int32)


@pytest.fixture
def save(tmp_path):
    """Writes a cell with these outcomes of each query; returns the store."""

    def save(name, success, queries=QUERIES, **more):
        key = CellKey(
            dataset="made-up", backbone="tiny", loss="proxy_anchor", defense="any", seed=0,
            scenario="retrieval-query", attack=name, norm="linf", eps=0.1,
        )  # fmt: skip
        record = CellRecord(
            id=name, model_id="m", key=key, provenance=PROVENANCE, **{"status": "done", **more}
        )
        arrays = {} if success is None else {"success": np.float32(success), "queries": queries}
        store = Store(tmp_path)
        store.save_cell(record, arrays)
        return store

    return save


def own(success, queries=QUERIES, **diagnostics):
    success = np.float32(success)
    return ScenarioScore({"r1": float(success.mean())}, {"success": success, "queries": queries}, diagnostics)


def test_a_query_stands_while_every_earlier_success_is_above_0(save):
    save("clean", [1, 1, 0, 1], diagnostics={"chance": 0.1})
    store = save("first", [0.25, 0, 1, 1])
    standing = Standing.read(store, ["clean", "first"])
    assert standing.before.tolist() == [0.25, 0, 0, 1]
    assert standing.images.tolist() == [0, 7]
    assert standing.reason_to_stop(until_chance=True) == ""


def test_the_score_is_the_running_minimum_and_the_own_one_is_kept(save):
    standing = Standing.read(save("first", [0.5, 0, 0, 1]), ["first"])
    score = standing.after(own([1, 1, 1, 0], rescored_r1=0.7))
    assert score.arrays["success"].tolist() == [0.5, 0, 0, 0]
    assert score.arrays["before"].tolist() == [0.5, 0, 0, 1]
    assert score.arrays["own"].tolist() == [1, 1, 1, 0]
    assert score.metrics == {"r1": 0.125}
    assert score.diagnostics == {"rescored_r1": 0.7, "mixed_r1": 0.75}


def test_the_halves_of_an_attack_are_its_own(save):
    standing = Standing.read(save("first", [0.5, 0, 0, 1]), ["first"])
    score = own([1, 1, 1, 0])
    score.arrays["halves"] = np.array([[1, 1, 1, 0], [1, 1, 1, 0]])
    assert np.array_equal(standing.after(score).arrays["halves"], score.arrays["halves"])
    assert "halves" not in standing.after(own([1, 1, 1, 0])).arrays
    assert "halves" not in standing.unattacked().arrays


def test_at_or_below_chance_nothing_more_is_attacked_unless_it_must(save):
    save("clean", [1, 1, 1, 1], diagnostics={"chance": 0.25})
    standing = Standing.read(save("first", [1, 0, 0, 0]), ["clean", "first"])
    assert standing.reason_to_stop(until_chance=True) == (
        "Not attacked: after the attacks before it R@1 is 25.0 %, at or below chance (25.0 %)."
    )
    assert standing.reason_to_stop(until_chance=False) == ""
    assert standing.unattacked().metrics == {"r1": 0.25}
    assert standing.unattacked().diagnostics == {}


def test_where_no_query_stands_none_is_attacked(save):
    standing = Standing.read(save("first", [0, 0, 0, 0]), ["first"])
    assert standing.reason_to_stop(until_chance=False) == (
        "Not attacked: no query stands after the attacks before it."
    )


@pytest.mark.parametrize("cell", [{"status": "failed"}, {"success": None}])
def test_an_earlier_cell_without_outcomes_is_named(save, cell):
    store = save("first", cell.pop("success", [1, 1, 1, 1]), **cell)
    with pytest.raises(
        BenchmarkError, match=r"follows .*cell first.* are missing; run the same command again"
    ):
        Standing.read(store, ["first"])


def test_other_queries_are_refused(save):
    save("first", [1, 1, 1, 1])
    store = save("other", [1, 1, 1, 1], QUERIES + 1)
    with pytest.raises(BenchmarkError, match="were scored on different queries"):
        Standing.read(store, ["first", "other"])
    with pytest.raises(BenchmarkError, match="on other queries than those that it follows"):
        Standing.read(store, ["first"]).after(own([1, 1, 1, 1], QUERIES + 1))
