"""What only a GPU can show of attacks: real captures, the same noise, no waiting."""

import copy
import warnings

import pytest
import torch

from attacks import ATTACKS, OBJECTIVES, Problem
from attacks.optimisers import captured_step
from attacks.optimisers.captured_step import Steps
from benchmark.core.seeding import noise_per_image

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")

CAPTURABLE = [name for name, cls in OBJECTIVES.items() if cls.capturable]
SPECS = [f"pgd_decay[objective={name},steps=4]" for name in OBJECTIVES.names()]
TOLERANCE = 2e-3
"""Of objectives: other kernels round otherwise, and signs of tiny gradients flip."""


@pytest.fixture
def make_there(trained, pool):
    """Builds the problem on the GPU, or on the CPU."""

    def make(device="cuda", **options):
        model = copy.deepcopy(trained).to(device)
        data = (pool.images.clone().to(device), pool.labels.to(device), pool.ids)
        options.setdefault("sources", {"vanilla": model})
        return Problem(model, *data, "linf", 0.05, batch_size=8, **options)

    return make


@pytest.mark.parametrize("normal", [False, True])
def test_noise_is_the_same_as_on_a_cpu(normal):
    ids = torch.arange(300) * 7919
    there = noise_per_image((3, 20, 20), ids.cuda(), "start", 3, normal=normal).cpu()
    here = noise_per_image((3, 20, 20), ids, "start", 3, normal=normal)
    different = (there != here).float().mean()
    assert different <= (1e-6 if normal else 0)
    assert torch.allclose(there, here, rtol=1e-6)


@pytest.mark.parametrize("name", CAPTURABLE)
def test_steps_are_captured_and_replays_give_what_eager_steps_give(make_there, monkeypatch, name):
    attack = ATTACKS.build(f"pgd[objective={name},steps=60]")
    found = attack.run(make_there())
    assert found.execution == "CUDA graph"
    monkeypatch.setattr(captured_step, "DEVICES", ())
    eager = attack.run(make_there())
    assert eager.execution == "eager"
    assert torch.allclose(found.objective, eager.objective, atol=TOLERANCE, rtol=TOLERANCE)
    assert (found.images - eager.images).abs().mean() < 0.002


@pytest.mark.parametrize("spec", SPECS)
def test_attacks_find_what_they_find_on_a_cpu(make_there, spec):
    attack = ATTACKS.build(spec)
    there, here = (attack.run(make_there(device)) for device in ("cuda", "cpu"))
    assert there.objective.mean().item() == pytest.approx(here.objective.mean().item(), rel=0.02, abs=0.01)


@pytest.mark.parametrize("name", OBJECTIVES.names())
def test_no_step_waits_for_the_gpu(make_there, name):
    problem = make_there()
    score = OBJECTIVES.build(name).bind(problem)
    if hasattr(score, "observe"):
        score.observe(torch.arange(len(problem), device="cuda"), problem.clean)
    compute = Steps(problem, OBJECTIVES.build(name), score, 8, 1)
    index = torch.arange(8, device="cuda")
    compute(problem.images[:8], index)  # what is computed once
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            compute(problem.images[:8], index)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert [str(each.message) for each in caught] == []
