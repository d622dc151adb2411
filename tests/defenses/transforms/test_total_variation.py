from itertools import pairwise

import pytest
import torch

from defenses.transforms import TRANSFORMS, total_variation
from defenses.transforms.total_variation import minimize_tv, smoothed_tv


def objective(found, images, kept, weight):
    return 0.5 * (kept * (found - images) ** 2).sum((2, 3)) + weight * smoothed_tv(found)


def test_total_variation_against_loops(draw):
    images = draw(count=1, side=5).double()
    pixels, expected = images[0, 0].tolist(), 0.0
    for y in range(5):
        for x in range(5):
            across = pixels[y][x + 1] - pixels[y][x] if x < 4 else 0.0
            down = pixels[y + 1][x] - pixels[y][x] if y < 4 else 0.0
            expected += (across**2 + down**2 + 0.01**2) ** 0.5
    assert float(smoothed_tv(images)) == pytest.approx(expected)


@pytest.mark.parametrize("weight", [0.01, 0.3])
def test_every_step_lowers_the_objective_toward_its_minimum(draw, weight):
    images = draw(count=3, side=10).double()
    kept = (torch.rand(images.shape, generator=torch.Generator().manual_seed(1)) < 0.5).double()
    values = [
        objective(minimize_tv(images, kept, weight, steps), images, kept, weight) for steps in range(1, 12)
    ]
    for before, after in pairwise(values):
        assert (after < before).all()
    # A general optimizer finds the minimum; the steps converge to it.
    found = images.clone().requires_grad_(True)
    optimizer = torch.optim.LBFGS(
        [found], max_iter=500, line_search_fn="strong_wolfe", tolerance_change=1e-12
    )

    def closure():
        optimizer.zero_grad()
        value = objective(found, images, kept, weight).sum()
        value.backward()
        return value

    optimizer.step(closure)
    long = objective(minimize_tv(images, kept, weight, 3000), images, kept, weight).sum()
    assert float(long) == pytest.approx(float(closure().detach()), rel=1e-3)


def test_total_variation_keeps_constant_images_and_never_reads_what_was_dropped(seeded, draw):
    constant = torch.tensor([0.0, 0.3, 1.0]).view(3, 1, 1, 1).expand(3, 1, 9, 9)
    found = seeded(TRANSFORMS.build("total_variation[dropout=0.9]"), constant)
    torch.testing.assert_close(found, constant)
    images, kept = draw(count=2), (torch.rand(2, 1, 28, 28) < 0.5).float()
    other = torch.where(kept > 0, images, 1 - images)
    assert torch.equal(minimize_tv(images, kept, 0.03, 5), minimize_tv(other, kept, 0.03, 5))


def test_dropped_shares_follow_the_dropout(seeded, draw, monkeypatch):
    seen = []
    original = total_variation.minimize_tv
    monkeypatch.setattr(total_variation, "minimize_tv", lambda *args: seen.append(args[1]) or original(*args))
    seeded(TRANSFORMS.build("total_variation[dropout=0.3]"), draw(3, count=8))
    assert abs(float(seen[0].mean()) - 0.7) < 0.02
    assert seen[0].shape == (8, 3, 28, 28)
