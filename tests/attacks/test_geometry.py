import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from attacks.geometry import (
    CONVEX,
    NORMS,
    Ball,
    check_norm,
    largest_change,
    project,
    random_start,
    sizes,
    steepest,
)
from attacks.problem import Problem
from benchmark.core.embedder import Embedder
from benchmark.core.errors import AttackError, UsageError

EPS = st.sampled_from([0.0, 1e-4, 8 / 255, 0.3, 1.0, 5.0])
SEEDS = st.integers(0, 1000)


def size(delta, norm):
    flat = delta.double().flatten(1)
    return flat.abs().amax(1) if norm == "linf" else flat.norm(dim=1)


def clean_images(seed, count=4):
    """With many pixels at the ends of the range."""
    generator = torch.Generator().manual_seed(seed)
    return (3 * torch.rand(count, 2, 3, 3, generator=generator) - 1).clamp(0, 1)


@pytest.mark.parametrize("norm", CONVEX)
@given(eps=EPS, seed=SEEDS, far=st.floats(0, 10))
def test_projection_keeps_ball_and_range_and_is_idempotent(norm, eps, seed, far):
    clean = clean_images(seed)
    found = project(clean + far * torch.randn_like(clean), clean, norm, eps)
    assert (size(found - clean, norm) <= eps + 1e-6 * (1 + eps)).all()
    assert found.min() >= 0 and found.max() <= 1
    torch.testing.assert_close(project(found, clean, norm, eps), found, atol=1e-6, rtol=0)


@pytest.mark.parametrize("norm", CONVEX)
@given(seed=SEEDS)
def test_a_point_of_the_ball_stays_where_it_is(norm, seed):
    clean = clean_images(seed) * 0.5 + 0.25
    delta = torch.randn_like(clean)
    inside = clean + 0.19 * delta / size(delta, norm).view(-1, 1, 1, 1).float()
    torch.testing.assert_close(project(inside, clean, norm, 0.2), inside)


@pytest.mark.parametrize("norm", CONVEX)
@given(seed=SEEDS)
def test_no_point_of_the_ball_is_nearer(norm, seed):
    torch.manual_seed(seed)
    clean = torch.full((1, 1, 3, 3), 0.5)
    outside = clean + torch.randn(1, 1, 3, 3) * 0.3
    found = project(outside, clean, norm, 0.1).double()
    others = 2 * torch.rand(500, 1, 3, 3, dtype=torch.float64) - 1
    others = clean + 0.1 * others / size(others, norm).view(-1, 1, 1, 1).clamp_min(1)
    # Points beside the found one, drawn back into the ball, are the hard case.
    beside = found + 0.02 * torch.randn(500, 1, 3, 3, dtype=torch.float64)
    beside = clean + (beside - clean) / (size(beside - clean, norm) / 0.1).clamp_min(1).view(-1, 1, 1, 1)
    distances = (torch.cat([others, beside]) - outside).flatten(1).norm(dim=1)
    assert distances.min() >= (found - outside).norm() - 1e-6


def test_projection_by_hand():
    clean = torch.tensor([0.0, 0.5, 1.0, 0.9]).view(1, 1, 2, 2)
    found = project(clean + torch.tensor([-1.0, 0.05, 1.0, 0.15]).view(1, 1, 2, 2), clean, "linf", 0.2)
    torch.testing.assert_close(found.flatten(), torch.tensor([0.0, 0.55, 1.0, 1.0]))
    clean = torch.full((1, 1, 1, 2), 0.5)
    found = project(clean + torch.tensor([3.0, 4.0]).view(1, 1, 1, 2), clean, "l2", 0.1)
    torch.testing.assert_close(found.flatten(), torch.tensor([0.56, 0.58]))


@pytest.mark.parametrize("norm", CONVEX)
@pytest.mark.parametrize("scale", [1e-30, 1e-15, 1.0, 1e15])
def test_the_steepest_step(norm, scale):
    gradient = torch.randn(3, 1, 4, 4)
    step = steepest(gradient * scale, norm)
    assert torch.allclose(size(step, norm).float(), torch.ones(3))
    others = torch.randn(200, 1, 4, 4)
    others = others / size(others, norm).view(-1, 1, 1, 1).float()
    rise = (step * gradient).flatten(1).sum(1)
    assert (rise >= (others.flatten(1) @ gradient.flatten(1).t()).amax(0)).all()
    dual = gradient.flatten(1).abs().sum(1) if norm == "linf" else gradient.flatten(1).norm(dim=1)
    torch.testing.assert_close(rise, dual)


@pytest.mark.parametrize("norm", CONVEX)
def test_no_gradient_no_step(norm):
    assert torch.equal(steepest(torch.zeros(2, 1, 3, 3), norm), torch.zeros(2, 1, 3, 3))


@pytest.mark.parametrize("norm", CONVEX)
@given(eps=EPS, seed=SEEDS)
def test_random_starts_lie_in_the_ball_and_do_not_depend_on_the_batch(norm, eps, seed):
    clean, ids = clean_images(seed), torch.tensor([3, 1, 4, 159])
    start = random_start(clean, ids, norm, eps, seed, 0)
    assert start.dtype == torch.float32
    assert (size(start - clean, norm) <= eps + 1e-6 * (1 + eps)).all()
    assert start.min() >= 0 and start.max() <= 1
    kept = torch.tensor([2, 0])
    again = random_start(clean[kept], ids[kept], norm, eps, seed, 0)
    # Not to the last bit: a norm may be summed in another order in a batch of another size.
    torch.testing.assert_close(again, start[kept], atol=1e-6, rtol=0)
    if eps:
        assert not torch.equal(random_start(clean, ids, norm, eps, seed, 1), start)


@pytest.mark.parametrize("norm", CONVEX)
def test_random_starts_fill_the_ball_uniformly(norm):
    clean = torch.full((4000, 1, 1, 3), 0.5)
    delta = (random_start(clean, torch.arange(4000), norm, 0.4, 0) - clean).flatten(1)
    # Half of a ball's volume lies within 2^(-1/3) of the radius, and it is symmetric.
    fraction = (size(delta, norm) < 0.4 * 2 ** (-1 / 3)).double().mean()
    assert float(fraction) == pytest.approx(0.5, abs=0.03)
    assert delta.mean(0).abs().max() < 0.015
    variance = 0.4**2 / 3 if norm == "linf" else 0.4**2 / 5
    assert delta.std(0).tolist() == pytest.approx([math.sqrt(variance)] * 3, rel=0.05)


@pytest.mark.parametrize("norm", CONVEX)
def test_a_gradient_promises_what_the_steepest_step_reaches(norm):
    gradient = torch.randn(5, 2, 3, 3)
    reached = (0.3 * steepest(gradient, norm) * gradient).flatten(1).sum(1)
    torch.testing.assert_close(largest_change(gradient, norm, 0.3), reached)


def test_a_gradient_promises_in_l0_what_its_largest_pixels_can_give():
    gradient = torch.tensor([[[[0.5, -2.0], [0.1, 0.0]], [[0.0, 1.0], [-0.7, 0.2]]]])  # 0.5, 3, 0.8, 0.2
    assert largest_change(gradient, "l0", 2).item() == pytest.approx(3.8)
    assert largest_change(gradient, "l0", 9).item() == pytest.approx(4.5)


def test_unknown_norm():
    check_norm("l2")
    with pytest.raises(UsageError, match=r"Unknown norm 'l1'\. Valid: linf, l2, l0"):
        check_norm("l1")


PIXELS = st.sampled_from([0, 1, 2, 5, 9, 100])


def test_sizes_of_a_perturbation():
    delta = torch.tensor([[[0.3, 0.0], [-0.4, 0.0]], [[0.0, 0.0], [0.0, 0.0]]]).view(1, 2, 2, 2)
    delta[0, 1, 1, 0] = 1e-7
    for norm, expected in (("linf", 0.4), ("l2", 0.5), ("l0", 2)):
        assert float(sizes(delta, norm)) == pytest.approx(expected), norm
    assert set(NORMS) == {*CONVEX, "l0"}


@given(eps=PIXELS, seed=SEEDS)
def test_a_projection_in_l0_keeps_the_largest_changes_as_they_are(eps, seed):
    clean = clean_images(seed)
    attacked = torch.rand(clean.shape, generator=torch.Generator().manual_seed(seed + 1))
    found = project(attacked, clean, "l0", eps)
    changed = (found != clean).any(1).flatten(1)
    assert (changed.sum(1) <= eps).all() and (eps < 9 or torch.allclose(found, attacked))
    torch.testing.assert_close(project(found, clean, "l0", eps), found)
    change = (attacked - clean).square().sum(1).flatten(1)
    for row, kept in zip(change, changed, strict=True):
        assert sorted(row[kept].tolist()) == sorted(row.tolist())[len(row) - int(kept.sum()) :]
    assert found.min() >= 0 and found.max() <= 1


@given(eps=PIXELS, seed=SEEDS)
def test_random_starts_in_l0_change_drawn_pixels(eps, seed):
    clean, ids = clean_images(seed), torch.tensor([3, 1, 4, 159])
    start = random_start(clean, ids, "l0", eps, seed, 0)
    assert sizes(start - clean, "l0").tolist() == [min(eps, 9)] * 4
    assert start.min() >= 0 and start.max() <= 1 and start.dtype == torch.float32
    kept = torch.tensor([2, 0])
    assert torch.equal(random_start(clean[kept], ids[kept], "l0", eps, seed, 0), start[kept])
    if eps:
        assert not torch.equal(random_start(clean, ids, "l0", eps, seed, 1), start)


def test_random_starts_in_l0_draw_pixels_and_values_uniformly():
    clean = torch.full((4000, 1, 2, 2), 0.5)
    start = random_start(clean, torch.arange(4000), "l0", 1, 0)
    changed = (start != clean).flatten(1)
    assert (changed.double().mean(0) - 0.25).abs().max() < 0.03
    values = start.flatten(1)[changed]
    assert float(values.mean()) == pytest.approx(0.5, abs=0.02)
    assert float(values.std()) == pytest.approx(math.sqrt(1 / 12), rel=0.05)


def test_l0_has_no_steepest_step_and_counts_whole_pixels(pool):
    ball = Ball(pool.images[:2], "l0", 3.0)
    assert ball.pixels == 3 and Ball(pool.images[:2], "l0", 1e4).pixels == 64
    with pytest.raises(AttackError, match="not defined in the norm l0"):
        ball.step(ball.clean, ball.clean, 0.5)
    for eps in (0.5, -1.0, float("inf")):
        with pytest.raises(UsageError, match=f"eps is {eps:g} in the norm l0: it counts changed pixels"):
            Problem(Embedder(), pool.images, pool.labels, pool.ids, "l0", eps)


def test_a_problem_in_an_unknown_norm_is_rejected(pool):
    with pytest.raises(UsageError, match="Unknown norm 'l3'"):
        Problem(Embedder(), pool.images, pool.labels, pool.ids, "l3", 0.1)
