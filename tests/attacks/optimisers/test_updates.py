import pytest
import torch

from attacks import ATTACKS
from attacks.geometry import Ball, project, steepest
from attacks.optimisers.updates import AutoPGDUpdate, FixedSteps, MomentumUpdate, checkpoints


def test_the_checkpoints_of_auto_pgd_are_those_of_the_paper():
    assert sorted(checkpoints(100)) == [22, 41, 57, 70, 80, 87, 93, 99]
    assert sorted(checkpoints(1000)) == [220, 410, 570, 700, 800, 870, 930, 990]
    assert sorted(checkpoints(10)) == [3, 5, 6, 7, 8, 9, 10]  # rounded up
    assert sorted(checkpoints(1)) == [1]


class Hill:
    """-|a (x - peak)|^2 for each image, by the same formula for one image or many."""

    def __init__(self, shape):
        self.peak = torch.rand(shape, dtype=torch.float64)
        self.scale = torch.rand(shape, dtype=torch.float64) * 3

    def value(self, x, i=slice(None)):
        return -(self.scale[i] * (x - self.peak[i])).square().flatten(-3).sum(-1)

    def slope(self, x, i=slice(None)):
        return -2 * self.scale[i].square() * (x - self.peak[i])


def auto_pgd(value, slope, start, step, cut, steps):
    """Algorithm 1 of arXiv 2003.01690 for one image; returns its iterates and its number of halvings."""
    size, halvings, rises, halved = (
        2.0,
        0,
        [],
        True,
    )  # as in its code, condition 2 is not applied at the first checkpoint
    points, current, previous = [start], start, start
    current_value = best_value = best_at_checkpoint = value(start)
    best = start
    for k in range(steps):
        if k in checkpoints(steps):
            first = sum(rises) < 0.75 * len(rises)
            second = not halved and best_value == best_at_checkpoint
            halved = first or second
            if halved:
                size, halvings = size / 2, halvings + 1
                current, current_value = best, best_value
            rises, best_at_checkpoint = [], best_value
        z = step(current, slope(current), size)
        after = z if k == 0 else cut(current + 0.75 * (z - current) + 0.25 * (current - previous))
        previous, current = current, after
        rises.append(value(current) > current_value)
        current_value = value(current)
        if current_value > best_value:
            best, best_value = current, current_value
        points.append(current)
    return points, halvings


def test_auto_pgd_visits_the_points_of_the_published_algorithm(norm):
    shape = (12, 2, 3, 3)
    hill, clean, eps, steps = Hill(shape), torch.rand(shape, dtype=torch.float64), 0.2, 30
    ball = Ball(clean, norm, eps)
    update, images, visited = AutoPGDUpdate(steps), clean, [clean]
    for _ in range(steps):
        images = update.move(images, hill.value(images), hill.slope(images), ball)
        visited.append(images)
    counts = []
    for i in range(len(clean)):

        def cut(x, i=i):
            return project(x.unsqueeze(0), clean[i : i + 1], norm, eps)[0]

        def step(x, g, size, cut=cut):
            return cut(x + size * eps * steepest(g.unsqueeze(0), norm)[0])

        points, halvings = auto_pgd(
            lambda x, i=i: float(hill.value(x, i)),
            lambda x, i=i: hill.slope(x, i),
            clean[i],
            step,
            cut,
            steps,
        )
        counts.append(halvings)
        torch.testing.assert_close(torch.stack([v[i] for v in visited]), torch.stack(points))
    assert max(counts) >= 3
    assert len(set(counts)) > 1  # each image halves on its own


def test_auto_pgd_halves_and_returns_to_the_best_point_by_hand():
    # One pixel in [0.3, 0.7]; the peak 0.52 lies inside, so steps of 2 eps = 0.4 jump across it. Momentum:
    # 0.3 -> 0.7 (cut); then z = 0.3, and 0.75 * -0.4 + 0.25 * 0.4 = -0.2 leads to 0.5.
    clean = torch.full((1, 1, 1, 1), 0.5, dtype=torch.float64)
    update, ball = AutoPGDUpdate(10), Ball(clean, "linf", 0.2)
    images = torch.full_like(clean, 0.3)
    visited = []
    for _ in range(4):
        images = update.move(images, -(images - 0.52).abs().flatten(), 0.52 - images, ball)
        visited.append(float(images))
    # z = 0.7 and 0.75 * 0.2 - 0.25 * 0.2 lead from 0.5 to 0.6. That is the checkpoint, 3 of 10: two steps of
    # three rose, less than 0.75; so back to 0.5 with 0.2: z = 0.7, 0.5 + 0.75 * 0.2 + 0.25 * (0.5 - 0.5).
    assert visited == pytest.approx([0.7, 0.5, 0.6, 0.65])


def test_momentum_by_hand():
    clean = torch.full((1, 1, 1, 2), 0.5)
    for decay, second in ((1.0, [0.6, 0.5]), (0.5, [0.5, 0.5])):
        update, ball = MomentumUpdate(0.25, decay), Ball(clean, "linf", 0.2)
        first = update.move(clean, torch.zeros(1), torch.tensor([30.0, 10.0]).view(1, 1, 1, 2), ball)
        torch.testing.assert_close(first.flatten(), torch.tensor([0.55, 0.55]))
        # (0.75, 0.25) decayed, and (-0.5, -0.5); unscaled gradients would still point upwards.
        moved = update.move(first, torch.zeros(1), torch.tensor([-1.0, -1.0]).view(1, 1, 1, 2), ball)
        torch.testing.assert_close(moved.flatten(), torch.tensor(second))


def test_steps_stay_in_the_ball():
    clean = torch.full((1, 1, 1, 2), 0.5)
    update, ball = FixedSteps([0.5, 1.0]), Ball(clean, "linf", 0.2)
    gradient = torch.tensor([2.0, -1e-9]).view(1, 1, 1, 2)
    first = update.move(clean, torch.zeros(1), gradient, ball)
    torch.testing.assert_close(first.flatten(), torch.tensor([0.6, 0.4]))
    second = update.move(first, torch.zeros(1), gradient, ball)
    torch.testing.assert_close(second.flatten(), torch.tensor([0.7, 0.3]))


@pytest.mark.parametrize("name", ["bim", "mi_fgsm"])
def test_all_steps_together_reach_the_border_from_the_clean_image(linear, make_problem, attack_on, name):
    problem = make_problem(linear, eps=1e-3)  # so small that hardly any sign of the gradient changes
    problem.images = problem.images * 0.5 + 0.25
    found = attack_on(name, "own", steps=4).run(problem).images
    once = ATTACKS.build("fgsm[objective=own]").run(problem).images
    assert ((found - once).abs() < 1e-6).float().mean() > 0.98
