import pytest
import torch

from attacks import OBJECTIVES
from attacks.objectives.target import nearest_class


def margin_by_hand(problem, z, i, target):
    """Best cosine to the target class less the best to a positive, by loops."""
    cosines = [float(z @ other) for other in problem.clean]
    labels = problem.labels.tolist()
    positives = [c for j, c in enumerate(cosines) if labels[j] == labels[i] and j != i]
    return max(c for c, y in zip(cosines, labels, strict=True) if y == target) - max(positives, default=-2.0)


def ranked_classes(problem, i):
    """The other classes by the cosine of their image nearest to the clean image, the nearest first."""
    best = {}
    for other, y in zip(problem.clean, problem.labels.tolist(), strict=True):
        best[y] = max(best.get(y, -2.0), float(problem.clean[i] @ other))
    del best[int(problem.labels[i])]
    return sorted(best, key=best.get, reverse=True)


@pytest.mark.parametrize("rank", [1, 2, 3, 9])
def test_the_target_is_a_class_near_the_clean_image(problem, moved, rank):
    score = OBJECTIVES.build(f"target[rank={rank}]").bind(problem)
    found = score(moved, problem.all_indices)
    for i, z in enumerate(moved):
        target = ranked_classes(problem, i)[min(rank, 3) - 1]
        assert int(nearest_class(problem, rank)[i]) == target
        assert float(found[i]) == pytest.approx(margin_by_hand(problem, z, i, target))


def test_the_margin_of_recall_is_the_highest_over_targets(problem, moved):
    every = [
        OBJECTIVES.build(f"target[rank={rank}]").bind(problem)(moved, problem.all_indices)
        for rank in (1, 2, 3)
    ]
    margin = OBJECTIVES.build("neighbour").bind(problem)(moved, problem.all_indices)
    torch.testing.assert_close(torch.stack(every).amax(0), margin)
