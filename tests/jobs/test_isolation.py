"""Attacked images of other people's models are embedded in a process that has nothing else."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from attacks import REFERENCE_ATTACK
from benchmark.jobs import RunContext, isolation
from benchmark.jobs.isolated_start import ForkedProcesses, start_process
from benchmark.planning.grid import build_grid
from benchmark.planning.resolve import resolve
from benchmark.plugins.load import load_plugin, module_name
from benchmark.records import ModelKey
from benchmark.runner.executor import run_jobs
from benchmark.runner.job_watcher import JobWatcher
from defenses import DEFENSES

PLUGIN = Path(__file__).with_name("isolated_plugin.py")
OTHER = "pgd_decay[objective=neighbour,steps=3]"
POOLED = "pgd_decay[objective=information,steps=3]"
ASKED = {
    "datasets": "glyphs[classes=24,per_class=6]",
    "backbones": "smallconv[dim=8,width=0.25]",
    "attacks": [REFERENCE_ATTACK, OTHER, POOLED, "noise"],
    "scenarios": "retrieval-query",
    "checks": False,
    "curve": {"attacks": [], "factors": []},
    "training": {"epochs": 2, "batch_size": 16, "validation": 0},
}


@pytest.fixture(scope="module")
def forked():
    with ForkedProcesses() as processes:
        yield processes


@pytest.fixture
def plan(tmp_path_factory, tmp_path, monkeypatch, forked):
    """Trains a model, and returns its attack, with the context of both."""
    monkeypatch.setattr(DEFENSES, "_entries", dict(DEFENSES._entries))
    monkeypatch.delitem(sys.modules, module_name(PLUGIN), raising=False)
    load_plugin(PLUGIN)
    cache = tmp_path_factory.getbasetemp() / "cache"

    def plan(defense, plugins=(PLUGIN,), attack=REFERENCE_ATTACK, **asked):
        context = RunContext(
            output=tmp_path, cache=cache, data=cache, device="cpu", commit="", plugins=plugins, save_every=0
        ).in_process(forked)
        grid = build_grid(resolve({**ASKED, **asked, "defenses": defense}), context.folders)
        training = next(m.job for m in grid.models if m.job.key.defense == defense)
        job = next(p.job for p in grid.attacks if p.job.key.defense == defense and p.job.attack == attack)
        assert training.execute(context) is None
        return job, context

    return plan


def diagnostics_of(attack, context):
    assert attack.execute(context) is None
    (cell,) = attack.cells.values()
    return context.store.cell(cell).diagnostics


@pytest.mark.slow
def test_an_honest_model_embeds_alone_as_it_was_scored(plan):
    found = diagnostics_of(*plan("honest_plugin"))
    assert found["isolated_difference"] < 1e-4
    assert found["rescored_difference"] < 1e-4


@pytest.mark.slow
def test_a_model_that_reads_the_pool_of_its_scorer_embeds_otherwise_alone(plan):
    found = diagnostics_of(*plan("reads_frames"))
    assert found["rescored_difference"] < 1e-4  # in the same process it is consistent
    assert found["isolated_difference"] > 1e-2


@pytest.mark.slow
def test_a_worker_s_process_is_forked_from_a_zygote(plan):
    attack, context = plan("differs_in_zygote")
    run_jobs([attack], {attack.id: 1.0}, context.in_process(start_process), 1, JobWatcher())
    (cell,) = attack.cells.values()
    found = context.store.cell(cell)
    assert found.status == "done", found.reason
    assert found.diagnostics["isolated_difference"] > 1e-2


@pytest.mark.slow
def test_an_honest_model_embeds_the_same_in_a_new_process(plan):
    attack, context = plan("honest_plugin")
    assert diagnostics_of(attack, context.in_process(start_process))["isolated_difference"] < 1e-4


@pytest.mark.slow
def test_a_model_that_cheats_under_attacks_on_clusters_alone_is_found(plan):
    assert diagnostics_of(*plan("reads_frames_of_pooled"))["isolated_difference"] < 1e-4
    found = diagnostics_of(*plan("reads_frames_of_pooled", attack=POOLED))
    assert found["rescored_difference"] < 1e-4
    assert found["isolated_difference"] > 1e-2


@pytest.mark.slow
def test_a_model_that_no_other_process_repeats_is_found(plan):
    found = diagnostics_of(*plan("keyed"))
    assert found["rescored_difference"] < 1e-4
    assert found["isolated_difference"] > 1e-2


@pytest.mark.slow
def test_r1_of_a_randomised_model_is_compared(plan):
    found = diagnostics_of(*plan("drawing_plugin"))
    assert abs(found["isolated_r1"]) <= 0.02 + 7 * found["isolated_error"]
    assert "isolated_difference" not in found


@pytest.mark.slow
def test_a_model_that_cannot_be_loaded_alone_fails_its_cell(plan, monkeypatch):
    monkeypatch.setenv("FAILS_ALONE", "")
    monkeypatch.delenv("FAILS_ALONE")
    attack, context = plan("fails_alone")
    reason = attack.execute(context.in_process(start_process))
    assert "RuntimeError: no such thing here. Load what the model needs in `build`" in reason
    assert len(reason.splitlines()) == 1


def test_a_model_that_is_not_trained_gets_no_labels_alone(monkeypatch, tmp_path):
    monkeypatch.setattr(isolation, "has_foreign_code", lambda key, is_foreign: True)
    key = ModelKey(dataset="digits", backbone="-", loss="-", defense="pixels", seed=0)
    context = RunContext(output=tmp_path, cache=tmp_path, data=tmp_path, device="cpu", commit="")
    alone = isolation.isolated_model(SimpleNamespace(key=key), context)
    assert len(alone.labels) > 0 and not alone.labels.any() and alone.checkpoint is None


def out_of_time(folder, patience):
    return None, ""


def ends_early(folder, patience):
    return 0, ""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("embed_alone", "reason"),
    [
        (out_of_time, "it took more than 1800 seconds"),
        (ends_early, "it ended without embeddings"),
    ],
)
def test_what_a_worker_cannot_embed_alone_fails_its_cell(plan, embed_alone, reason):
    attack, context = plan("honest_plugin")
    assert reason in attack.execute(context.in_process(embed_alone))


@pytest.mark.slow
def test_no_process_is_started_for_code_of_the_project_or_of_this_process_alone(plan):
    assert "isolated_difference" not in diagnostics_of(*plan("vanilla"))
    assert "isolated_difference" not in diagnostics_of(*plan("honest_plugin", plugins=()))


@pytest.mark.slow
def test_attacks_that_search_the_whole_pool_at_the_ranked_budget_start_a_process(plan):
    assert "isolated_difference" in diagnostics_of(*plan("honest_plugin", attack=OTHER))
    assert "isolated_difference" not in diagnostics_of(*plan("honest_plugin", attack="noise"))
    assert "isolated_difference" not in diagnostics_of(*plan("honest_plugin", eps=[0.05]))


@pytest.mark.slow
def test_the_images_that_it_embeds_are_counted(plan):
    (foreign, context), (own, _) = plan("honest_plugin"), plan("vanilla")
    pool = 12 * 6
    assert foreign.passes(context.folders) == pytest.approx(own.passes(context.folders) + pool)
