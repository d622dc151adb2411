"""Whole runs with attacks that need more than one model, one attacked fraction or one scenario."""

import csv
from pathlib import Path

import pytest

from attacks import ATTACKS, Problem
from benchmark.cli import main
from benchmark.data import Folders
from benchmark.evaluation import CHECKS, SCENARIOS, PoolEmbeddings, attacked_indices
from benchmark.jobs import RunContext
from benchmark.jobs.models import load_data
from benchmark.planning.grid import build_grid
from benchmark.planning.resolve import resolve
from benchmark.records.store import Store

from ..conftest import TINY

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("without_figures")]  # whole runs

FAILING = '''
from defenses import DEFENSES
from defenses.vanilla import Vanilla


@DEFENSES.register("untrainable")
class Untrainable(Vanilla):
    """Its loss is not a number."""

    def loss(self, model, batch, attack):
        return super().loss(model, batch, attack) * float("nan")
'''


def run(tiny: Path, output: Path, *more: str) -> int:
    return main(["--config", str(tiny), "--output", str(output), "--workers", "1", "--no-progress", *more])


def rows(output: Path, name: str = "cells.csv") -> list[dict[str, str]]:
    with (output / name).open() as file:
        return list(csv.DictReader(file))


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DML_BENCHMARK_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_transferred_attack_brings_its_source_and_is_that_of_the_source(tiny, tmp_path, cache):
    output = tmp_path / "out"
    attack = "transfer[source=vanilla,attack=fgsm[objective=own]]"
    assert run(tiny, output, "--defenses", "mixup", "--attacks", attack) == 0
    board = rows(output, "leaderboard.csv")
    assert {row["defense"] for row in board} == {"mixup", "pixels"}
    store = Store(output)
    cell = next(
        c
        for c in store.manifest().cells
        if (c.key.defense, c.key.scenario, c.role) == ("mixup", "retrieval-query", "suite")
    )
    assert (cell.key.norm, cell.key.attack) == ("linf", ATTACKS.build(attack).spec)
    models = [store.model(path.stem) for path in (output / "store" / "models").glob("*.json")]
    assert sorted(model.key.defense for model in models) == ["mixup", "pixels", "vanilla"]

    # The same by hand: made on the one model, scored on the other.
    asked = {"defenses": "mixup", "attacks": attack}
    made = build_grid(resolve(asked, tiny), Folders(cache, cache))
    job = next(p.job for p in made.attacks if cell.id in p.job.cells.values())
    context = RunContext(output=output, cache=cache, data=cache, device="cpu", commit="")
    pool = load_data(TINY["datasets"][0], Folders(cache, cache)).test
    images = pool.batch(slice(None))
    source, target = (training.load(context)[0] for training in (job.source, job.model))
    assert (job.source.key.defense, job.model.key.defense) == ("vanilla", "mixup")
    inner = ATTACKS.build("fgsm[objective=own]")
    attacked = inner.run(Problem(source, images, pool.labels, pool.ids, "linf", 0.1)).images
    score = SCENARIOS.build("retrieval-query").score(
        PoolEmbeddings(target, images, attacked, pool.labels, pool.ids, 2)
    )
    assert store.cell(cell.id).metrics == pytest.approx(score.metrics)


def test_a_source_that_cannot_be_trained_fails_the_attack_alone_and_is_named(tiny, tmp_path, cache):
    plugin = tmp_path / "untrainable_plugin.py"
    plugin.write_text(FAILING)
    arguments = ["--plugin", str(plugin), "--attacks", "noise,transfer[source=untrainable]"]
    assert run(tiny, tmp_path / "out", *arguments) == 1
    status = {
        row["attack"].split("[")[0]: row for row in rows(tmp_path / "out") if row["defense"] == "vanilla"
    }
    assert (status["noise"]["status"], status["transfer"]["status"]) == ("done", "failed")
    assert "untrainable" in status["transfer"]["reason"]


def test_only_the_fraction_that_is_attacked_is_changed(tiny, tmp_path, cache):
    output = tmp_path / "out"
    assert run(tiny, output, "--scenarios", "clustering[fraction=0.25]", "clustering") == 0
    found = {
        (row["scenario"], row["attack"]): float(row["value"])
        for row in rows(output)
        if row["metric"] == "ami" and row["defense"] == "vanilla"
    }
    own = {scenario: found[scenario, "fgsm[objective=own]"] for scenario, _ in found}
    clean = found["clustering", "none"]
    assert found["clustering[fraction=0.25]", "none"] == clean
    assert own["clustering"] < own["clustering[fraction=0.25]"] < clean

    seen = {}

    grid = build_grid(resolve({"scenarios": "clustering[fraction=0.25]"}, tiny), Folders(cache, cache))
    job = next(p.job for p in grid.attacks if p.job.attack == "noise")
    context = RunContext(output=output, cache=cache, data=cache, device="cpu", commit="")
    with pytest.MonkeyPatch.context() as patch:
        noise = ATTACKS.get("noise")
        original = noise.perturb

        def watched(self, problem):
            seen["targets"] = problem.perturbed
            return original(self, problem)

        patch.setattr(noise, "perturb", watched)
        job.attack_and_score(job.cells, context)
    ids = load_data(TINY["datasets"][0], Folders(cache, cache)).test.ids
    assert seen["targets"].tolist() == attacked_indices(ids, 0.25).tolist()


def test_the_checks_are_columns_and_records(tiny, tmp_path, cache):
    output = tmp_path / "out"
    config = tmp_path / "checked.yaml"
    config.write_text(tiny.read_text().replace("checks: false", "checks: true"))
    arguments = ["--attacks", "fgsm[objective=neighbour]", "--scenarios", "clustering", "--norm", "l2"]
    arguments += ["--datasets", "glyphs[classes=16,per_class=4]"]
    assert run(config, output, *arguments) == 0
    (vanilla,) = (row for row in rows(output, "leaderboard.csv") if row["defense"] == "vanilla")
    statuses = {name: vanilla[f"check_{name}"] for name in CHECKS.names()}
    # The suite is scored in clustering alone, so there is no R@1 of it to compare anything with.
    assert statuses.pop("suite_too_weak") == "not run"
    assert statuses.pop("transfer_beats_white_box") == "not run"  # no other row's images are transferred
    assert set(statuses.values()) <= {"pass", "fail"}, statuses
    failed = [name for name, status in statuses.items() if status == "fail"]
    assert vanilla["checks"].startswith("fail: ") is bool(failed)
    assert all(name in vanilla["checks"] for name in failed)
    assert len(list((output / "store" / "checks").glob("*.json"))) == 2
    # Cells of the checks make no score of the board.
    assert vanilla["worst_r1"] == "" and vanilla["worst_ami"] != ""
    assert vanilla["worst_attack_clustering"] == "fgsm[objective=neighbour]"


def test_robrank_has_a_board_of_its_own(tiny, tmp_path, cache):
    output = tmp_path / "out"
    attacks = "noise,robrank[measure=es,steps=2],robrank[measure=tma,steps=2]"
    assert run(tiny, output, "--attacks", attacks, "--scenarios", "retrieval-query") == 0
    board = rows(output, "ranking.csv")
    assert {row["defense"] for row in board} == {"vanilla", "pixels", "constant embedding"}
    (vanilla,) = (row for row in board if row["defense"] == "vanilla")
    assert vanilla["es_d"] and vanilla["tma"] and not vanilla["ca_plus"]
    assert {row["worst_attack_retrieval"] for row in rows(output, "leaderboard.csv")} == {"noise"}
    assert "empirical robustness score" in (output / "leaderboard.md").read_text()


CHECK = '''
from benchmark.evaluation import CHECKS, MaskingCheck
from benchmark.evaluation.masking_check import Comparison


@CHECKS.register("starts_attacks")
class StartsAttacks(MaskingCheck):
    """The model is the one that transferred attacks are made on."""

    needs = "nothing"

    def compare(self, measured):
        return [Comparison.above(float(measured.is_source), 0.0, "by its defense")]
'''


def test_a_check_that_is_registered_counts_without_another_list(tiny, tmp_path, cache, monkeypatch):
    monkeypatch.setattr(CHECKS, "_entries", dict(CHECKS._entries))
    plugin = tmp_path / "check_plugin.py"
    plugin.write_text(CHECK)
    output = tmp_path / "out"
    arguments = ["--defenses", "vanilla,mixup", "--datasets", "glyphs[classes=16,per_class=4]"]
    arguments += ["--attacks", "noise", "transfer[attack=fgsm[objective=own],source=vanilla]"]
    assert run(tiny, output, *arguments) == 0
    before = {row["defense"]: row for row in rows(output, "leaderboard.csv")}
    assert run(tiny, output, *arguments, "--plugin", str(plugin)) == 0
    after = {row["defense"]: row for row in rows(output, "leaderboard.csv")}
    assert "check_starts_attacks" not in before["vanilla"]
    assert after["vanilla"]["check_starts_attacks"] == "fail"
    assert after["mixup"]["check_starts_attacks"] == "pass"
    assert "starts_attacks" in after["vanilla"]["checks"]
    assert (after["mixup"]["rank"], after["vanilla"]["rank"]) == ("1", "2")
    page = (output / "leaderboard.md").read_text()
    assert "starts_attacks" in page and "The model is the one that transferred attacks are made on" in page
