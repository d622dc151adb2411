"""Attacks on a small network, as the fixture `go`."""

import random
import time

import pytest
import torch

from attacks import ATTACKS, Problem
from benchmark.jobs import RunContext
from benchmark.models import PassCounter, count_flops

from .killed_attacks import BATCH, IDS, IMAGES, KilledAfter, Network, Run, Stored


@pytest.fixture
def go(tmp_path):
    """Runs an attack, which may be killed after one of its saves; each call is like a new process."""
    torch.set_num_threads(1)

    def run(
        spec,
        norm="linf",
        path=None,
        killed_after=None,
        keep=False,
        noise=0.0,
        stored=False,
        every=0,
        stopping=None,
        **options,
    ):
        attack = ATTACKS.build(spec) if isinstance(spec, str) else spec
        model, source = (
            Network(noise).eval().requires_grad_(False),
            Network(noise).eval().requires_grad_(False),
        )
        images = Stored(IMAGES) if stored else IMAGES.clone()
        random.seed(0)
        torch.manual_seed(0)
        unit = count_flops(model, (3, 8, 8))
        model.calls = 0
        with PassCounter(model, (3, 8, 8), unit) as own, PassCounter(source, (3, 8, 8), unit) as other:
            options = {"batch_size": BATCH, "eot": 2, "eps": 5.0 if norm == "l0" else 0.1, **options}
            sources = dict.fromkeys(("vanilla", attack.needs or "vanilla"), source)
            problem = Problem(
                model,
                images,
                torch.arange(20) // 4,
                IDS,
                norm,
                sources=sources,
                counters=(own, other),
                **options,
            )
            if path is not None:
                context = RunContext(
                    output=tmp_path, cache=tmp_path, data=tmp_path, device="cpu", commit="", save_every=every,
                    stop_file=stopping,
                )  # fmt: skip
                problem.save_point = KilledAfter(tmp_path / "unfinished" / path, problem, context)
                problem.save_point.last = killed_after
                problem.save_point.kept = tmp_path if keep else None
            started = time.perf_counter()
            result = attack.run(problem)
            seconds = time.perf_counter() - started
        units = (own.forward, own.backward, other.forward, other.backward)
        point = problem.save_point
        return Run(
            result, units, model.calls + source.calls, point and point.saves,
            seconds + (point.seconds_before if point else 0.0),
        )  # fmt: skip

    return run
