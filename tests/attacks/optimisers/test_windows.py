import math

import pytest
import torch

from attacks.geometry import Ball
from attacks.optimisers.windows import WINDOWS, bump


def windows_of(norm, shape=(5, 2, 9, 9), eps=0.1):
    return WINDOWS[norm](Ball(torch.rand(shape) * 0.4 + 0.3, norm, eps))


def start_of(windows, count=5):
    return windows.start(2 * torch.rand(count, windows.start_draws) - 1)


@pytest.mark.parametrize("shape", [(1, 1, 28, 28), (1, 3, 5, 40), (1, 1, 2, 2), (1, 1, 1, 7)])
def test_sides_fit_the_image(norm, shape):
    windows = windows_of(norm, shape)
    for fraction in (1.0, 0.8, 0.1, 1e-4):
        side = windows.side(fraction)
        assert 1 <= side <= min(shape[2:])
        assert norm == "linf" or side % 2 == 1
    assert windows_of("linf", (1, 1, 28, 28)).side(0.8) == round(math.sqrt(0.8 * 784)) == 25
    assert windows_of("linf", (1, 1, 28, 28)).side(1e-4) == 1
    assert windows_of("l2", (1, 1, 28, 28)).side(1e-4) == 3


def test_windows_lie_anywhere_in_the_image_with_equal_chance():
    windows = windows_of("linf", (1, 1, 4, 6))
    corners = windows.pixels(3, 2 * torch.rand(8000, 2) - 1)[:, 0]
    assert torch.equal(corners[0] - corners[0, 0], torch.tensor([0, 1, 2, 6, 7, 8, 12, 13, 14]))
    counts = torch.bincount(corners[:, 0], minlength=24).view(4, 6)
    assert torch.equal(counts > 0, torch.tensor([[True] * 4 + [False] * 2] * 2 + [[False] * 6] * 2))
    assert counts[:2, :4].min() > 1000 - 150
    assert int(windows.pixels(3, torch.tensor([[1.0, 1.0]])).max()) == 23  # the end of the draws' range


def test_stripes_then_squares():
    windows = windows_of("linf")
    start = start_of(windows)
    delta = start - windows.ball.clean
    torch.testing.assert_close(delta.abs(), torch.full_like(delta, 0.1))
    assert torch.equal(delta.sign(), delta.sign()[:, :, :1].expand_as(delta))  # each column of one sign
    assert 0.2 < (delta[:, :, 0] > 0).float().mean() < 0.8
    moved = windows.propose(start, 3, 2 * torch.rand(5, windows.draws) - 1)
    after = moved - windows.ball.clean
    torch.testing.assert_close(after.abs(), torch.full_like(after, 0.1))
    for i in range(5):
        rows, columns = (moved[i] != start[i]).any(0).nonzero().unbind(1)
        assert len(rows) and int(rows.max() - rows.min()) < 3 and int(columns.max() - columns.min()) < 3


def test_every_query_changes_the_image():
    windows = windows_of("linf", (400, 1, 9, 9))
    images = start_of(windows, 400)
    for _ in range(3):
        before, images = images, windows.propose(images, 1, 2 * torch.rand(400, windows.draws) - 1)
        assert (images != before).flatten(1).any(1).all()


@pytest.mark.parametrize("side", [1, 2, 3, 6, 7, 25])
def test_bumps_are_those_of_the_authors(torchattacks, side):
    reference = torchattacks.Square(None, norm="L2")
    reference.device = "cpu"
    found, theirs = bump(side), reference.eta(side)
    assert found.shape == (side, side)
    assert min(float((found - theirs).abs().max()), float((found - theirs.t()).abs().max())) < 1e-6


def test_bumps_stay_on_the_sphere():
    windows = windows_of("l2", (5, 2, 11, 11), eps=0.3)
    images = start_of(windows)
    clean = windows.ball.clean
    tiles = (images - clean)[:, :, :10, :10].reshape(5, 2, 5, 2, 5, 2).transpose(3, 4).flatten(4)
    norms = tiles.norm(dim=4)
    torch.testing.assert_close(norms, norms[:1, :1, :1, :1].expand_as(norms))
    for side in (9, 5, 3, 3):
        torch.testing.assert_close((images - clean).flatten(1).norm(dim=1), torch.full((5,), 0.3))
        images = windows.propose(images, side, 2 * torch.rand(5, windows.draws) - 1)
    torch.testing.assert_close((images - clean).flatten(1).norm(dim=1), torch.full((5,), 0.3))


def test_the_norm_of_windows_is_redistributed_by_hand():
    """Algorithm 3 of the paper with loops, windows that overlap among them."""
    windows = windows_of("l2", (6, 2, 9, 9), eps=0.3)
    images = windows.ball.clean + 0.9 * (
        start_of(windows, 6) - windows.ball.clean
    )  # so that part of the budget is unused
    draws = 2 * torch.rand(6, windows.draws) - 1
    draws[:3, 2:4] = draws[:3, :2] * 0.6
    found = windows.propose(images, 5, draws) - windows.ball.clean
    for i in range(6):
        nu = (images[i] - windows.ball.clean[i]).clone()
        unused = 0.3**2 - nu.square().sum()
        corner = ((draws[i, :4] + 1) / 2 * 5).long().tolist()
        first = (slice(corner[0], corner[0] + 5), slice(corner[1], corner[1] + 5))
        second = (slice(corner[2], corner[2] + 5), slice(corner[3], corner[3] + 5))
        eta = bump(5).t() if draws[i, 4] >= 0 else bump(5)
        for c in range(2):
            mask = torch.zeros(9, 9, dtype=torch.bool)
            mask[first] = mask[second] = True
            available = (nu[c][mask].square().sum() + unused / 2).sqrt()
            sign = 1 if draws[i, 5 + c] >= 0 else -1
            temporary = sign * eta + nu[c][first] / nu[c][first].norm()
            nu[c][second] = 0
            nu[c][first] = temporary / temporary.norm() * available
        torch.testing.assert_close(found[i], nu, atol=1e-6, rtol=1e-4)
