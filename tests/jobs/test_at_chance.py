"""Attacks that are left out because others brought their metric to chance."""

import numpy as np
import pytest

from benchmark.core.errors import BenchmarkError
from benchmark.evaluation import ScenarioScore
from benchmark.jobs.at_chance import AtChance
from benchmark.records import CLEAN, CellKey, CellRecord, Store

from ..report.fake_run import provenance

SCENARIOS = ("clustering", "retrieval-query")


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


def save(store, cell, scenario, metrics, arrays=None, status="done", **diagnostics):
    key = CellKey(
        dataset="d", backbone="b", loss="l", defense="e", seed=0,
        scenario=scenario, attack=CLEAN, norm="linf", eps=0.1,
    )  # fmt: skip
    record = CellRecord(
        id=cell, model_id="m", key=key, status=status, metrics=metrics, diagnostics=diagnostics,
        provenance=provenance(),
    )  # fmt: skip
    store.save_cell(record, arrays)


def save_queries(store, clean=(1, 1, 1, 0), attacked=(0, 0, 1, 0), chance=0.25):
    queries = np.arange(4, dtype=np.int32)
    for cell, success in (("clean", clean), ("attacked", attacked)):
        arrays = {"success": np.array(success, np.float32), "queries": queries}
        save(store, cell, "retrieval-query", {"r1": float(np.mean(success))}, arrays, chance=chance)


def test_r1_at_chance_decides_for_an_attack_on_queries(store):
    save_queries(store)
    rule = AtChance(queries=("clean", "attacked"))
    expected = "Not attacked: after the attacks before it R@1 is 25.0 %, at or below chance (25.0 %)."
    assert rule.reason(store) == expected
    save_queries(store, chance=0.2)
    assert rule.reason(store) == ""


@pytest.mark.parametrize(("lowest", "left_out"), [(0.001, False), (0.0, True), (-0.03, True)])
def test_the_lowest_ami_decides_for_an_attack_on_the_pool(store, lowest, left_out):
    save_queries(store)  # at chance, which does not matter
    for cell, ami in (("a", 0.4), ("b", lowest)):
        save(store, cell, "clustering", {"ami": ami}, {"labels": np.arange(4)})
    reason = AtChance(queries=("clean", "attacked"), clusters=("a", "b")).reason(store)
    assert bool(reason) == left_out
    if lowest < 0:
        assert (
            reason == "Not attacked: after the attacks before it AMI is -3.0 %, at or below chance (0.0 %)."
        )


def test_what_is_left_out_has_the_queries_of_the_others_and_no_clusters(store):
    save_queries(store)
    found = AtChance(queries=("clean", "attacked")).unattacked(store, SCENARIOS)
    assert found["clustering"] == ScenarioScore({})
    assert found["retrieval-query"].metrics == {"r1": 0.25}
    assert found["retrieval-query"].arrays["success"].tolist() == [0, 0, 1, 0]
    assert AtChance(clusters=("a",)).unattacked(store, ("clustering",)) == {"clustering": ScenarioScore({})}


def test_a_cell_that_decides_must_be_done(store):
    save(store, "a", "clustering", {}, status="failed")
    with pytest.raises(BenchmarkError, match=r"cell a has none; run the same command again\.$"):
        AtChance(clusters=("a",)).reason(store)
