"""Attacks never wait for the device within their steps: they look at values only before and after."""

import pytest
import torch

from attacks import ATTACKS, OBJECTIVES
from attacks.objectives.information import InformationScore
from attacks.optimisers import captured_step, iterate, square
from attacks.ranking import robrank

LOOKS = ("__bool__", "__int__", "__float__", "__index__", "item", "tolist", "cpu", "numpy", "nonzero")
"""What makes the CPU wait for a GPU."""


@pytest.fixture
def looks(monkeypatch):
    """Counts the looks at tensors' values, by name, while `counting` is on."""
    found = []

    def count(name):
        original = getattr(torch.Tensor, name)

        def counted(self, *args, **kwargs):
            if found and found[0]:
                found.append(name)
            return original(self, *args, **kwargs)

        monkeypatch.setattr(torch.Tensor, name, counted)

    for name in LOOKS:
        count(name)
    return found


@pytest.fixture
def between_gradients(looks, monkeypatch):
    """Returns the looks between the first and the last evaluation of a batch's images."""

    def watch(module, name):
        original = getattr(module, name)

        def evaluated(*args, **kwargs):
            if not looks:
                looks.append(True)
            boundaries.append(len(looks))
            result = original(*args, **kwargs)
            boundaries.append(len(looks))
            return result

        monkeypatch.setattr(module, name, evaluated)

    def rate(score):
        looks[0] = False
        value = pool_value(score)
        looks[0] = True
        return value

    # The metric of the last pools is computed on the CPU, between steps.
    pool_value = InformationScore.pool_value
    monkeypatch.setattr(InformationScore, "pool_value", rate)
    boundaries = []
    watch(captured_step.Steps, "__call__")
    watch(robrank, "score_and_gradient")
    watch(square, "evaluate")
    return lambda: looks[1 : boundaries[-1]]


# Without `cw`: torch's Adam looks at its number of steps, which it keeps on the CPU.
SPECS = [
    *(f"pgd_decay[objective={name},steps=4]" for name in OBJECTIVES.names()),
    "apgd[objective=own,steps=6]",
    "mi_fgsm[objective=own,steps=4]",
    "square[objective=own,queries=6]",
    "square[objective=pool,queries=6]",
    "robrank[measure=gtm,steps=3]",
]


@pytest.mark.parametrize("spec", SPECS)
def test_no_step_looks_at_a_value(trained, make_problem, between_gradients, spec):
    attack = ATTACKS.build(spec)
    problem = make_problem(trained, norm=attack.norms[-1])
    _ = problem.clean
    attack.run(problem)
    assert between_gradients() == []


@pytest.mark.parametrize("spec", [spec for spec in SPECS if "pgd" in spec or "fgsm" in spec])
def test_no_replay_looks_at_a_value(trained, make_problem, between_gradients, recorded_cuda, spec):
    attack = ATTACKS.build(spec)
    problem = make_problem(trained, norm=attack.norms[-1])
    _ = problem.clean
    captured = "gallery_away" not in spec
    assert attack.run(problem).execution == ("CUDA graph" if captured else "eager")
    # A replay is compared with an eager step once: scores, gradient and embeddings.
    assert between_gradients() == ["__bool__"] * (3 if captured else 0)


def test_a_look_is_found(trained, make_problem, between_gradients, monkeypatch):
    move = iterate.GradientCheck.add

    def add(self, gradient, embeddings):
        assert torch.isfinite(gradient).all()
        move(self, gradient, embeddings)

    monkeypatch.setattr(iterate.GradientCheck, "add", add)
    ATTACKS.build("pgd_decay[objective=own,steps=4]").run(make_problem(trained))
    assert between_gradients() == ["__bool__"] * 3  # after each step but the last
