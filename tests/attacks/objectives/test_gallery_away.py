import math

import pytest
import torch
import torch.nn.functional as F

from attacks import OBJECTIVES, anneal
from benchmark.metrics import retrieve


def failures(problem, gallery):
    """Number of clean queries with a positive that fail."""
    retrieval = retrieve(
        problem.clean, gallery, problem.labels, problem.labels, problem.all_indices, problem.all_indices
    )
    return int((~retrieval.recall[1]).sum())


def test_gallery_away_counts_the_queries_that_fail(problem, moved):
    """At a low temperature, differences are those in the number of failures when this image alone moves."""
    score = OBJECTIVES.build("gallery_away[temperature=0.0001]").bind(problem)
    for bank in (problem.clean, moved):
        score.observe(problem.all_indices, bank)
        candidates = F.normalize(torch.randn(40, 5, dtype=torch.float64))
        differences = set()
        for i in range(len(problem.labels)):
            index = torch.full((len(candidates),), i)
            counts = []
            for candidate in candidates:
                gallery = bank.clone()
                gallery[i] = candidate
                counts.append(failures(problem, gallery))
            scores = score(candidates, index)
            assert (scores - scores[0]).round().tolist() == [count - counts[0] for count in counts]
            differences |= {count - counts[0] for count in counts}
        assert len(differences) > 3


@pytest.mark.parametrize("temperature", [0.02, 0.5])
def test_gallery_away_by_hand(problem, moved, temperature):
    score = OBJECTIVES.build(f"gallery_away[temperature={temperature}]").bind(problem)
    temperature *= problem.cosine_gap
    score.observe(problem.all_indices[:6], moved[:6])
    bank = torch.cat([moved[:6], problem.clean[6:]])
    z = F.normalize(torch.randn(len(problem.labels), 5, dtype=torch.float64))

    def smooth(*values):
        return temperature * math.log(sum(math.exp(value / temperature) for value in values))

    def sigmoid(margin):
        return 1 / (1 + math.exp(-margin / temperature)) if margin > -700 * temperature else 0.0

    for i, y in enumerate(problem.labels.tolist()):
        expected = 0.0
        for q, label in enumerate(problem.labels.tolist()):
            if q == i:
                continue
            cosines = problem.clean[q] @ bank.t()
            others = [j for j in range(len(problem.labels)) if j not in (i, q)]
            positives = [float(cosines[j]) for j in others if problem.labels[j] == label]
            negatives = [float(cosines[j]) for j in others if problem.labels[j] != label]
            mine = float(problem.clean[q] @ z[i])
            if label == y:
                expected -= sigmoid(smooth(mine, *sorted(positives)[-1:]) - max(negatives))
            else:
                margin = smooth(mine, max(negatives)) - max(positives) if positives else math.inf
                expected += sigmoid(margin)
        assert float(score(z, problem.all_indices)[i]) == pytest.approx(expected, abs=1e-9)


def test_the_temperature_falls_in_the_same_ratio_at_each_step(problem, moved):
    cooled = OBJECTIVES.build("gallery_away[temperature=0.4,cooling=16]").bind(problem)
    first = cooled(moved, problem.all_indices)
    for progress, temperature in ((0.5, 0.1), (1.0, 0.025), (0.0, 0.4)):
        anneal(cooled, progress)
        constant = OBJECTIVES.build(f"gallery_away[temperature={temperature},cooling=1]").bind(problem)
        anneal(constant, progress)
        found = cooled(moved, problem.all_indices)
        torch.testing.assert_close(found, constant(moved, problem.all_indices))
        assert torch.allclose(found, first) == (progress == 0)


def test_what_a_gallery_score_observes_stays_its_own(problem, moved):
    before = problem.clean.clone()
    score = OBJECTIVES.build("gallery_away").bind(problem)
    first = score(moved, problem.all_indices)
    score.observe(problem.all_indices, moved.requires_grad_(True))
    assert torch.equal(problem.clean, before)
    assert not score.bank.requires_grad
    assert not torch.equal(score(moved.detach(), problem.all_indices), first)
    assert torch.equal(OBJECTIVES.build("gallery_away").bind(problem)(moved, problem.all_indices), first)


def test_gallery_away_does_not_depend_on_the_size_of_a_chunk(problem, moved, monkeypatch):
    score = OBJECTIVES.build("gallery_away").bind(problem)
    expected = score(moved, problem.all_indices)
    monkeypatch.setattr("attacks.objectives.gallery_away.CHUNK", 3)
    # Products of other shapes may sum in another order.
    found = OBJECTIVES.build("gallery_away").bind(problem)(moved, problem.all_indices)
    torch.testing.assert_close(found, expected, atol=1e-9, rtol=0)
