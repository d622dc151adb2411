"""The estimated comparisons of k-means, compared with those that are computed."""

from math import log

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from attacks import ATTACKS, OBJECTIVES, Problem
from benchmark.core.embedder import Embedder
from benchmark.jobs.clustering_cost import attack_comparisons, scored_comparisons
from benchmark.metrics import KMEANS_ITERATIONS, KMEANS_SEEDS

CLASSES, PER_CLASS, DIM, STEPS = 12, 10, 6, 23
INFORMATION = "information[clusterings=2,redraw=5,pull=1]"
NO_DRAG = "information[clusterings=2,redraw=5,pull=1,drag=0]"


def product_in_place(_, left, right, **__):
    """The operations of `addmm_` by the shapes of its arguments, which torch does not count itself."""
    return 2 * left[0] * left[1] * right[1]


class Flat(Embedder):
    def forward(self, images):
        return torch.nn.functional.normalize(images.flatten(1) - 0.5)


def test_a_score_compares_with_candidates_and_in_each_iteration():
    assert scored_comparisons(CLASSES) == len(KMEANS_SEEDS) * CLASSES * (
        2 + int(log(CLASSES)) + KMEANS_ITERATIONS
    )


@pytest.mark.parametrize("objective", [INFORMATION, NO_DRAG])
def test_fits_of_an_attack_cost_what_they_were_said_to(objective):
    labels = torch.arange(CLASSES).repeat_interleave(PER_CLASS)
    images = torch.rand(len(labels), DIM, 1, 1, generator=torch.Generator().manual_seed(0))
    problem = Problem(Flat(), images, labels, torch.arange(len(labels)), "linf", 0.1)
    problem.clean, problem.cosine_gap, problem.centroids  # noqa: B018 (computed before the count)
    embeddings, index = Flat()(images).requires_grad_(True), torch.arange(len(labels))
    mapping = {torch.ops.aten.addmm_: product_in_place}
    with FlopCounterMode(display=False, custom_mapping=mapping) as counter:
        score = OBJECTIVES.build(objective).bind(problem)
        for _ in range(STEPS):
            score(embeddings, index).sum().backward()
            score.observe(index, embeddings)
    measured = counter.get_total_flops() / (2 * DIM * len(labels))
    rated = 6 * scored_comparisons(CLASSES)  # every fourth of the last 20 pools, by faiss
    fits = attack_comparisons(ATTACKS.build(f"pgd_decay[objective={objective},steps={STEPS}]"), CLASSES)
    assert measured <= fits - rated + STEPS * len(labels) <= 1.1 * measured


def test_only_attacks_that_fit_kmeans_count_and_each_once():
    def count(text):
        return attack_comparisons(ATTACKS.build(text), CLASSES)

    first = f"pgd_decay[objective={INFORMATION},steps=5]"
    assert count("pgd_decay[objective=neighbour]") == count("noise") == 0
    assert count(f"transfer[source=vanilla,attack={first}]") == count(first) > 0
    alone = count(f"square[objective={INFORMATION},queries=9]")
    assert count(f"square[objective={INFORMATION},queries=9,start={first}]") == alone + count(first)
    assert count(f"square[objective=neighbour,queries=9,start={first}]") == count(first)
    twice = count(f"pgd_decay[objective={INFORMATION},steps=5,restarts=2]")
    assert twice == pytest.approx(2 * count(first), rel=0.05)
