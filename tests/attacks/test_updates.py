import pytest
import torch

from attacks import ATTACKS
from attacks.geometry import project, steepest
from attacks.optimisers.updates import AutoPGDUpdate, Ball, FixedSteps, MomentumUpdate, checkpoints


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
    """Algorithm 1 of arXiv 2003.01690 for one image; all points that it visits, and how often it halved."""
    size, halvings, rises, halved = 2.0, 0, [], True  # as in its code, condition 2 waits for a checkpoint
    points, now, before = [start], start, start
    now_value = best_value = best_then = value(start)
    best = start
    for k in range(steps):
        if k in checkpoints(steps):
            first = sum(rises) < 0.75 * len(rises)
            second = not halved and best_value == best_then
            halved = first or second
            if halved:
                size, halvings = size / 2, halvings + 1
                now, now_value = best, best_value
            rises, best_then = [], best_value
        z = step(now, slope(now), size)
        after = z if k == 0 else cut(now + 0.75 * (z - now) + 0.25 * (now - before))
        before, now = now, after
        rises.append(value(now) > now_value)
        now_value = value(now)
        if now_value > best_value:
            best, best_value = now, now_value
        points.append(now)
    return points, halvings


def test_auto_pgd_goes_where_the_published_algorithm_goes(norm):
    shape = (12, 2, 3, 3)
    hill, clean, eps, steps = Hill(shape), torch.rand(shape, dtype=torch.float64), 0.2, 30
    ball = Ball(clean, norm, eps)
    rule, images, visited = AutoPGDUpdate(steps), clean, [clean]
    for _ in range(steps):
        images = rule.move(images, hill.value(images), hill.slope(images), ball)
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
    assert len(set(counts)) > 1  # each image halves for itself


def test_auto_pgd_halves_and_returns_by_hand():
    # One pixel in [0.3, 0.7]; the peak 0.52 lies inside, so steps of 2 eps = 0.4 jump across it. MomentumUpdate:
    # 0.3 -> 0.7 (cut); then z = 0.3, and 0.75 * -0.4 + 0.25 * 0.4 = -0.2 leads to 0.5.
    clean = torch.full((1, 1, 1, 1), 0.5, dtype=torch.float64)
    rule, ball = AutoPGDUpdate(10), Ball(clean, "linf", 0.2)
    images = torch.full_like(clean, 0.3)
    visited = []
    for _ in range(4):
        images = rule.move(images, -(images - 0.52).abs().flatten(), 0.52 - images, ball)
        visited.append(float(images))
    # z = 0.7 and 0.75 * 0.2 - 0.25 * 0.2 lead from 0.5 to 0.6. That is the checkpoint, 3 of 10: two steps of
    # three rose, less than 0.75; so back to 0.5 with 0.2: z = 0.7, 0.5 + 0.75 * 0.2 + 0.25 * (0.5 - 0.5).
    assert visited == pytest.approx([0.7, 0.5, 0.6, 0.65])


def test_momentum_by_hand():
    clean = torch.full((1, 1, 1, 2), 0.5)
    for decay, second in ((1.0, [0.6, 0.5]), (0.5, [0.5, 0.5])):
        rule, ball = MomentumUpdate(0.25, decay), Ball(clean, "linf", 0.2)
        first = rule.move(clean, torch.zeros(1), torch.tensor([30.0, 10.0]).view(1, 1, 1, 2), ball)
        torch.testing.assert_close(first.flatten(), torch.tensor([0.55, 0.55]))
        # (0.75, 0.25) decayed, and (-0.5, -0.5); unscaled gradients would still point upwards.
        moved = rule.move(first, torch.zeros(1), torch.tensor([-1.0, -1.0]).view(1, 1, 1, 2), ball)
        torch.testing.assert_close(moved.flatten(), torch.tensor(second))


def test_steps_stay_in_the_ball():
    clean = torch.full((1, 1, 1, 2), 0.5)
    rule, ball = FixedSteps([0.5, 1.0]), Ball(clean, "linf", 0.2)
    gradient = torch.tensor([2.0, -1e-9]).view(1, 1, 1, 2)
    first = rule.move(clean, torch.zeros(1), gradient, ball)
    torch.testing.assert_close(first.flatten(), torch.tensor([0.6, 0.4]))
    second = rule.move(first, torch.zeros(1), gradient, ball)
    torch.testing.assert_close(second.flatten(), torch.tensor([0.7, 0.3]))


@pytest.mark.parametrize("name", ["bim", "mi_fgsm"])
def test_all_steps_together_reach_the_border_from_the_clean_image(linear, make_problem, attack_on, name):
    problem = make_problem(linear, eps=1e-3)  # so near that hardly a sign of the gradient changes
    problem.images = problem.images * 0.5 + 0.25
    found = attack_on(name, "own", steps=4).run(problem).images
    once = ATTACKS.build("fgsm[objective=own]").run(problem).images
    assert ((found - once).abs() < 1e-6).float().mean() > 0.98
