"""Attacks tell how far they are; what they compute does not depend on who listens."""

import dataclasses

import pytest
import torch

from attacks import ATTACKS


class Counting:
    """Counts the steps, and the values that came with them."""

    def __init__(self):
        self.steps, self.of, self.values = 0, set(), []

    def step(self, of, values=None):
        self.steps += 1
        self.of.add(of)
        self.values.append(values)


SPECS = [
    "pgd_decay[objective=neighbour,steps=4]",
    "pgd_decay[objective=pool,steps=4]",
    "pgd[objective=own,steps=3,restarts=2]",
    "fgsm[objective=own]",
    "square[objective=neighbour,queries=6]",
    "square[objective=pool,queries=6]",
    "square[objective=neighbour,queries=6,start=pgd_decay[objective=neighbour,steps=4]]",
    "square[objective=pool,queries=6,start=noise]",
    "transfer[source=vanilla,attack=pgd_decay[objective=neighbour,steps=4]]",
    "robrank[measure=ca_plus,steps=3]",
]


@pytest.mark.parametrize("spec", SPECS)
def test_the_last_step_is_the_one_that_was_announced(trained, make_problem, spec):
    problem = dataclasses.replace(make_problem(trained), batch_size=5, sources={"vanilla": trained})
    assert len(problem.batches(problem.perturbed)) > 1
    watched = dataclasses.replace(problem, watch=Counting())
    expected = ATTACKS.build(spec).run(problem)
    found = ATTACKS.build(spec).run(watched)
    assert watched.watch.of == {watched.watch.steps}
    assert all(torch.isfinite(values).all() and not values.requires_grad for values in watched.watch.values)
    assert torch.equal(found.images, expected.images)


def test_cw_too(trained, make_problem):
    problem = dataclasses.replace(make_problem(trained, norm="l2", eps=0.3), batch_size=5, watch=Counting())
    ATTACKS.build("cw[searches=2,steps=3]").run(problem)
    assert problem.watch.of == {problem.watch.steps}


def test_noise_has_no_steps(trained, make_problem):
    problem = dataclasses.replace(make_problem(trained), watch=Counting())
    ATTACKS.build("noise").run(problem)
    assert problem.watch.steps == 0
