import pytest
import torch

from attacks import ATTACKS, OBJECTIVES
from attacks.optimisers.cw import _Kept, _Weights
from benchmark.core.errors import UsageError


def size(images, clean):
    return (images - clean).flatten(1).norm(dim=1)


@pytest.mark.parametrize("objective", [n for n, cls in OBJECTIVES.items() if cls.pooled])
def test_objectives_of_the_whole_pool_are_refused(objective):
    with pytest.raises(UsageError, match="does not look at the pool"):
        ATTACKS.build(f"cw[objective={objective}]")


def test_linf_is_refused(trained, make_problem):
    with pytest.raises(UsageError, match="linf"):
        ATTACKS.build("cw").run(make_problem(trained, norm="linf"))


def test_the_weights_are_searched_image_by_image():
    weights = _Weights(torch.zeros(3, 1, 2, 2), 1.0)
    seen = [weights.now.tolist()]
    for broken in ([True, False, False], [True, False, True], [False, True, False]):
        weights.search(torch.tensor(broken))
        seen.append(weights.now.tolist())
    assert seen == [[1, 1, 1], [0.5, 10, 10], [0.25, 100, 5.5], [0.375, 55, 7.75]]


def test_what_is_kept():
    clean = torch.full((4, 1, 1, 1), 0.5)
    kept = _Kept(clean, 0.1)
    # Image 0: the best within the ball. 1: broken outside twice. 2: never broken. 3: broken inside.
    kept.consider(
        clean + torch.tensor([0.05, 0.3, 0.2, 0.09]).view(4, 1, 1, 1), torch.tensor([-3.0, 2, -2, 1])
    )
    kept.consider(
        clean + torch.tensor([0.04, 0.2, 0.3, 0.08]).view(4, 1, 1, 1), torch.tensor([-1.0, 1, -1, 2])
    )
    kept.consider(
        clean + torch.tensor([0.02, 0.4, 0.4, 0.5]).view(4, 1, 1, 1), torch.tensor([-2.0, 3, -9, 9])
    )
    torch.testing.assert_close(kept.images.flatten(), torch.tensor([0.54, 0.5, 0.5, 0.58]))
    assert kept.values.tolist() == [-1, -torch.inf, -torch.inf, 2]
    torch.testing.assert_close(kept.to_project().flatten(), torch.tensor([0.54, 0.7, 0.8, 0.58]))


def test_pixels_at_the_ends_of_the_range_move_too(linear, make_problem):
    problem = make_problem(linear, norm="l2", eps=1.0)
    problem.images = (problem.images > 0.5).float()
    outcome = ATTACKS.build("cw[objective=own]").run(problem)
    start = ATTACKS.build("cw[objective=own,lr=1e-9]").run(problem)
    torch.testing.assert_close(start.images, problem.images, atol=1e-5, rtol=0)
    assert float((outcome.images - problem.images).abs().amax(dim=(1, 2, 3)).min()) > 0.05
    assert (outcome.objective > start.objective).all()


def test_the_smallest_change_that_breaks_is_found(linear, make_problem):
    """For one linear layer the margins between centroids are linear too, and the distance a formula."""
    problem = make_problem(linear, norm="l2", eps=10.0)
    problem.images = problem.images * 0.2 + 0.4  # so that the range is far
    weight, bias = linear.layer.weight.detach(), linear.layer.bias.detach()
    distances = []
    for image, label in zip(problem.images, problem.labels, strict=True):
        embedding = weight @ (image.double().flatten() - 0.5) + bias
        towards = problem.centroids - problem.centroids[label]
        lengths = (towards @ weight).norm(dim=1)
        each = -(towards @ embedding) / lengths
        distances.append(float(each[torch.arange(6) != label].amin().clamp_min(0)))
    smallest = []

    class Recording(ATTACKS.get("cw")):
        def _attack(self, problem, score, index):
            kept, still = super()._attack(problem, score, index)
            smallest.append(kept.to_project())
            return kept, still

    Recording(objective="centroid", searches=10, steps=150, lr=0.002).run(problem)
    found, expected = size(smallest[0], problem.images), torch.tensor(distances)
    assert (expected > 0.1).any()
    assert (found >= expected - 1e-4).all()
    # Some end at another class's border than the nearest.
    assert (found <= 1.05 * expected + 1e-3).float().mean() > 0.8


def test_images_outside_the_ball_come_back_projected(trained, make_problem):
    # A weight so large that the first steps leave the ball and break everything out there.
    problem = make_problem(trained, norm="l2", eps=0.05)
    outcome = ATTACKS.build("cw[objective=own,searches=1,steps=3,lr=1,c=1000]").run(problem)
    reached = size(outcome.images, problem.images)
    assert float(reached.max()) <= 0.05 + 1e-6
    assert float((reached > 0.049).float().mean()) > 0.5
    clean = OBJECTIVES.build("own").bind(problem)(problem.clean, torch.arange(len(problem)))
    assert (outcome.objective >= clean - 1e-5).all()


def test_what_lies_flat_at_the_clean_image_is_attacked_from_elsewhere(trained, make_problem):
    outcome = ATTACKS.build("cw[objective=shift,kappa=2]").run(make_problem(trained, norm="l2", eps=0.3))
    assert outcome.zero_gradient == 0
    noise = ATTACKS.build("noise").run(make_problem(trained, norm="l2", eps=0.3)).images
    problem = make_problem(trained, norm="l2", eps=0.3)
    control = OBJECTIVES.build("shift").bind(problem)(trained(noise), torch.arange(len(problem)))
    assert float(outcome.objective.mean()) > 2 * float(control.mean())


def test_a_model_without_a_gradient_is_noted(linear, make_problem):
    class Rounded(type(linear)):
        def forward(self, images):
            return super().forward((images * 15).round() / 15)

    outcome = ATTACKS.build("cw[searches=1,steps=2]").run(make_problem(Rounded().eval(), norm="l2"))
    assert outcome.zero_gradient == 1


@pytest.mark.parametrize("eps", [0.2, 0.4])
def test_nearly_as_many_queries_are_broken_as_by_steps_in_the_ball(trained, make_problem, eps):
    broken = [
        float(
            (ATTACKS.build(name).run(make_problem(trained, norm="l2", eps=eps)).objective > 0).float().mean()
        )
        for name in ("cw", "pgd_decay[objective=neighbour]")
    ]
    assert broken[1] > 0 and broken[0] >= broken[1] - 0.1


def test_more_images_are_broken_than_by_torchattacks_at_as_many_steps(
    torchattacks, trained, make_problem, classifier_of
):
    """Theirs has one weight for all images, so each of a few is compared; both within the ball."""
    eps = 0.4
    problem = make_problem(trained, norm="l2", eps=eps)
    classifier = classifier_of(problem)
    found = ATTACKS.build("cw[objective=centroid]").run(problem)
    ours = float((classifier(found.images).argmax(1) != problem.labels).float().mean())
    assert ours == pytest.approx(float((found.objective > 0).float().mean()))
    for c in (0.1, 1, 10):
        images = torchattacks.CW(classifier, c=c, steps=100, lr=0.02)(problem.images, problem.labels)
        within = size(images, problem.images) <= eps
        theirs = (classifier(images).argmax(1) != problem.labels) & within
        assert ours >= float(theirs.float().mean()) - 0.03
