"""Whole runs of a cascade: the worst cases of its suite, resumed runs, failures, rows at chance."""

import csv
from typing import ClassVar

import numpy as np
import pytest
import yaml

from attacks import ATTACKS, SUITES, Suite, expand
from benchmark.cli import main
from benchmark.core.errors import AttackError
from benchmark.data import Folders
from benchmark.jobs import RunContext
from benchmark.planning.grid import build_grid
from benchmark.planning.resolve import resolve
from benchmark.records import CLEAN, Store
from benchmark.runner.run import run
from benchmark.runner.serial import run_serially

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("without_figures")]  # whole runs

QUERY = "retrieval-query"
SQUARE = "square[objective=neighbour,queries=30]"


class Whole(Suite):
    """A short suite."""

    attacks: ClassVar[tuple[str, ...]] = (
        "pgd_decay[objective=neighbour,steps=3]",
        "pgd_decay[objective=information,steps=3]",
        "pgd_decay[objective=centroid_ce,steps=5]",
        SQUARE,
        "fgsm[objective=own]",
        "noise",
    )


class Cascaded(Whole):
    """The same, one after another."""

    cascaded: ClassVar[bool] = True


REFERENCE, INFORMATION, CENTROID = (ATTACKS.build(text).spec for text in Whole.attacks[:3])


@pytest.fixture(autouse=True)
def suites(monkeypatch):
    monkeypatch.setattr(SUITES, "_entries", dict(SUITES._entries))
    SUITES.register("whole")(Whole)
    SUITES.register("cascaded")(Cascaded)


@pytest.fixture
def compute(tiny, tmp_path):
    """Runs a suite in this process; returns the store, and the count of cells by status."""

    def compute(suite, output="out", eps="0.04", **more):
        asked = {"datasets": "digits", "attacks": suite, "eps": eps, "device": "cpu", **more}
        asked["output"] = str(tmp_path / output)
        config = resolve(asked, tiny)
        folders = Folders(tmp_path / "cache", tmp_path / "cache")
        context = RunContext(
            output=tmp_path / output, cache=folders.cache, data=folders.data, device="cpu", commit=""
        )
        context.store.check_writable()
        counts = run(build_grid(config, folders), config, context, "test", False, run_serially).counts
        return context.store, counts

    return compute


def cells(store: Store, defense="vanilla", scenario=QUERY):
    """The records of a model in one scenario, by attack."""
    refs = [ref for ref in store.manifest().cells if ref.role != "check"]
    return {
        ref.key.attack: store.cell(ref.id)
        for ref in refs
        if (ref.key.defense, ref.key.scenario) == (defense, scenario)
    }


def worst(store: Store):
    return np.minimum.reduce([store.arrays(record.id)["success"] for record in cells(store).values()])


def test_the_worst_case_of_each_query_is_that_of_the_suite_at_a_lower_cost(compute):
    standard, cascade = compute("whole", "whole")[0], compute("cascaded", "cascaded")[0]
    one, other = worst(standard), worst(cascade)
    assert 0.1 < one.mean() < cells(standard)[REFERENCE].metrics["r1"] < 0.95
    assert np.count_nonzero(one != other) <= len(one) / 1000
    before, after = cells(standard), cells(cascade)
    assert set(before) == set(after)
    for attack in (CLEAN, REFERENCE, INFORMATION):
        assert after[attack].metrics == before[attack].metrics
        assert after[attack].attacked_queries is None and not after[attack].follows
    for attack in (CENTROID, *expand([SQUARE])):
        record, arrays = after[attack], cascade.arrays(after[attack].id)
        part = record.attacked_queries / len(one)
        assert record.attacked_queries == np.count_nonzero(arrays["before"])
        assert record.metrics["r1"] == pytest.approx(arrays["success"].mean())
        assert 0.1 < part < 0.95
        assert record.forward_passes == pytest.approx(part * before[attack].forward_passes, rel=0.01)
        # What it does to a query does not depend on which others are attacked.
        own = store_success(standard, before[attack])
        attacked = arrays["before"] > 0
        assert np.count_nonzero(arrays["own"][attacked] != own[attacked]) <= len(one) / 1000
    assert set(cells(cascade, scenario="clustering")) == {CLEAN, REFERENCE, INFORMATION}


def store_success(store, record):
    return store.arrays(record.id)["success"]


def test_checks_and_board_of_a_cascade(compute, tiny, tmp_path):
    tiny.write_text(yaml.safe_dump({**yaml.safe_load(tiny.read_text()), "checks": True}))
    arguments = ["--config", str(tiny), "--attacks", "cascaded", "--eps", "0.04", "--no-progress"]
    arguments += ["--datasets", "glyphs[classes=12,per_class=4]", "--output", str(tmp_path / "out")]
    assert main([*arguments, "--workers", "2"]) == 0
    with (tmp_path / "out" / "leaderboard.csv").open() as file:
        board = {row["defense"]: row for row in csv.DictReader(file)}
    statuses = {name: value for name, value in board["vanilla"].items() if name.startswith("check_")}
    assert statuses.pop("check_transfer_beats_white_box") == "not run"  # from no other row
    assert set(statuses.values()) <= {"pass", "fail"}, statuses
    assert board["vanilla"]["worst_attack_retrieval"] in (REFERENCE, INFORMATION)
    assert board["vanilla"]["suite"] == "cascaded"
    page = (tmp_path / "out" / "leaderboard.md").read_text()
    assert "### Each attack\n" in page and "\u2021: not alone." in page
    with (tmp_path / "out" / "cells.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["scenario"] == QUERY]
    attacked = {row["attack"]: row["attacked_queries"] for row in rows if row["defense"] == "vanilla"}
    assert attacked[REFERENCE] == "" and attacked["noise"] != ""
    (tmp_path / "out" / "leaderboard.md").unlink()
    assert main(["--report-only", "--output", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / "leaderboard.md").read_text() == page


def test_a_failed_member_fails_those_that_follow_it_and_a_resumed_run_computes_them(compute, monkeypatch):
    with monkeypatch.context() as broken:

        def perturb(self, problem):
            raise AttackError("out of order")

        broken.setattr(ATTACKS.get("fgsm"), "perturb", perturb)
        store, counts = compute("cascaded")
        found = cells(store)
    assert counts["failed"] > 0
    (square,) = expand([SQUARE])
    assert found["fgsm[objective=own]"].reason == "out of order"
    assert found[CENTROID].status == "done"
    for attack in (square, "noise"):
        assert found[attack].status == "failed"
        assert found[attack].reason == (
            "vanilla, seed 0: fgsm[objective=own] linf 0.04, which this attack follows, failed: out of order"
        )
    store, counts = compute("cascaded", retry_failed=True)
    assert set(counts) == {"done"}
    assert np.array_equal(worst(store), worst(compute("cascaded", "other")[0]))


def test_a_row_at_chance_is_not_attacked_further_and_the_record_says_so(compute):
    store, counts = compute("cascaded", eps="0.5")
    found = cells(store)
    assert set(counts) == {"done"}
    assert found[CENTROID].notes[0].startswith("Not attacked: ")
    for attack in (CENTROID, *expand([SQUARE, "noise"])):
        record = found[attack]
        assert (record.attacked_queries, record.forward_passes, record.backward_passes) == (0, 0, 0)
        assert record.metrics["r1"] == min(found[REFERENCE].metrics["r1"], record.metrics["r1"])
    assert compute("cascaded", eps="0.5")[1] == counts  # nothing is left to do
