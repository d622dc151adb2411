import pytest
import torch

from attacks import ATTACKS, JSMA
from attacks.geometry import Ball, sizes
from attacks.optimisers.jsma import SaliencyUpdate
from benchmark.core.errors import UsageError

NEIGHBOUR = "jsma[objective=neighbour,steps=10]"


def changed(result, problem):
    return sizes(result.images - problem.images, "l0")


@pytest.mark.parametrize("pixels", [1, 4, 10, 64, 1000])
def test_at_most_the_budget_changes_and_only_to_black_and_white(trained, make_problem, pixels):
    problem = make_problem(trained, norm="l0", eps=pixels / 100)
    result = ATTACKS.build(NEIGHBOUR).run(problem)
    assert problem.eps == pixels
    assert changed(result, problem).max() <= pixels
    different = result.images[result.images != problem.images]
    assert len(different) and set(different.unique().tolist()) <= {0.0, 1.0}


def test_it_is_better_than_random_pixels_and_with_more_of_them(trained, make_problem, scores_at):
    found = {}
    for pixels in (2, 6):
        problem = make_problem(trained, norm="l0", eps=pixels / 100)
        found[pixels] = ATTACKS.build(NEIGHBOUR).run(problem).objective
        drawn = ATTACKS.build("noise").run(problem).images
        extreme = torch.where(drawn != problem.images, drawn.round(), problem.images)
        for images in (problem.images, drawn, extreme):
            assert found[pixels].mean() > scores_at(problem, "neighbour", images).mean() + 0.02
    assert found[6].mean() > found[2].mean()


def images_of(*values):
    """One image for each row of values, one channel, a row of pixels."""
    return torch.tensor(values).view(len(values), 1, 1, -1)


def test_steps_by_hand():
    clean = images_of([0.5, 0.2, 1.0, 0.0, 0.5])
    ball = Ball(clean, "l0", 2.0)
    update = SaliencyUpdate(4)
    values = torch.zeros(1)
    # First-order gains: 0.5 for the first, 0.32 for the second; the third is at its end already.
    images = update.move(clean, values, images_of([1.0, 0.4, 9.0, -9.0, 0.0]), ball)
    assert torch.equal(images, images_of([1.0, 0.2, 1.0, 0.0, 0.5]))
    # Not a further one is due, and the change would be lost for a gain of 0.4: exchanged.
    images = update.move(images, values, images_of([0.6, 0.5, 9.0, -9.0, 0.0]), ball)
    assert torch.equal(images, images_of([0.5, 1.0, 1.0, 0.0, 0.5]))
    # The second one is due: what is changed stays changed, though its gradient has turned.
    images = update.move(images, values, images_of([-1.0, -2.0, 0.1, 0.1, 0.0]), ball)
    assert torch.equal(images, images_of([0.0, 1.0, 1.0, 0.0, 0.5]))
    images = update.move(images, values, images_of([-1.0, 2.0, 0.1, 0.1, 0.0]), ball)
    assert torch.equal(images, images_of([0.0, 1.0, 1.0, 0.0, 0.5]))


def test_a_pixel_is_all_its_channels(make_member):
    clean = torch.full((1, 3, 1, 2), 0.5)
    gradient = torch.tensor([[1.0, 0.5], [-1.0, 2.9], [1.0, 0.0]]).view(1, 3, 1, 2)
    images = SaliencyUpdate(1).move(clean, torch.zeros(1), gradient, Ball(clean, "l0", 1.0))
    # 0.25 more in sum of the second's two channels; the channel without a gradient stays.
    assert images[0, :, 0, 1].tolist() == [1.0, 1.0, 0.5]
    assert torch.equal(images[..., 0], clean[..., 0])


def test_it_attacks_in_l0_only(trained, make_problem):
    assert JSMA.norms == ("l0",) and ATTACKS.build(NEIGHBOUR).cost_per_image() == 21
    with pytest.raises(UsageError, match="does not support the norm linf"):
        ATTACKS.build(NEIGHBOUR).run(make_problem(trained))
    with pytest.raises(UsageError, match="does not support the norm l0"):
        ATTACKS.build("pgd[objective=own]").run(make_problem(trained, norm="l0"))
