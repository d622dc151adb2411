import pytest
import torch

from attacks import ATTACKS, OBJECTIVES
from attacks.geometry import Ball
from attacks.optimisers.cw import _Iterates, _Weights
from benchmark.core.errors import UsageError


def size(images, clean):
    return (images - clean).flatten(1).norm(dim=1)


@pytest.mark.parametrize("objective", [n for n, cls in OBJECTIVES.items() if cls.pooled])
def test_pooled_objectives_are_rejected(objective):
    with pytest.raises(UsageError, match="does not depend on the pool"):
        ATTACKS.build(f"cw[objective={objective}]")


def test_linf_is_rejected(trained, make_problem):
    with pytest.raises(UsageError, match="linf"):
        ATTACKS.build("cw").run(make_problem(trained, norm="linf"))


def test_the_weights_are_searched_image_by_image():
    weights = _Weights(torch.zeros(3, 1, 2, 2), 1.0)
    seen = [weights.current.tolist()]
    for adversarial in ([True, False, False], [True, False, True], [False, True, False]):
        weights.update(torch.tensor(adversarial))
        seen.append(weights.current.tolist())
    assert seen == [[1, 1, 1], [0.5, 10, 10], [0.25, 100, 5.5], [0.375, 55, 7.75]]


def test_the_kept_iterates():
    clean = torch.full((4, 1, 1, 1), 0.5)
    iterates = _Iterates(Ball(clean, "l2", 0.1))
    # 0: the best is in the ball. 1: adversarial outside, twice. 2: never adversarial. 3: adversarial inside.
    iterates.add(
        clean + torch.tensor([0.05, 0.3, 0.2, 0.09]).view(4, 1, 1, 1), torch.tensor([-3.0, 2, -2, 1])
    )
    iterates.add(
        clean + torch.tensor([0.04, 0.2, 0.3, 0.08]).view(4, 1, 1, 1), torch.tensor([-1.0, 1, -1, 2])
    )
    iterates.add(clean + torch.tensor([0.02, 0.4, 0.4, 0.5]).view(4, 1, 1, 1), torch.tensor([-2.0, 3, -9, 9]))
    torch.testing.assert_close(iterates.best.flatten(), torch.tensor([0.54, 0.5, 0.5, 0.58]))
    assert iterates.best_values.tolist() == [-1, -torch.inf, -torch.inf, 2]
    torch.testing.assert_close(
        iterates.smallest_adversarial().flatten(), torch.tensor([0.54, 0.7, 0.8, 0.58])
    )


def test_black_and_white_pixels_move_too(linear, make_problem):
    problem = make_problem(linear, norm="l2", eps=1.0)
    problem.images = (problem.images > 0.5).float()
    result = ATTACKS.build("cw[objective=own]").run(problem)
    start = ATTACKS.build("cw[objective=own,lr=1e-9]").run(problem)
    torch.testing.assert_close(start.images, problem.images, atol=1e-5, rtol=0)
    assert float((result.images - problem.images).abs().amax(dim=(1, 2, 3)).min()) > 0.05
    assert (result.objective > start.objective).all()


@pytest.mark.slow
def test_the_smallest_adversarial_perturbation_is_found(linear, make_problem):
    """For one linear layer the margins between centroids are linear too, and the distance a formula."""
    problem = make_problem(linear, norm="l2", eps=10.0)
    problem.images = problem.images * 0.2 + 0.4  # far from the ends of the range
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
        def _attack_batch(self, *args):
            iterates = super()._attack_batch(*args)
            smallest.append(iterates.smallest_adversarial())
            return iterates

    Recording(objective="centroid", searches=10, steps=150, lr=0.002).run(problem)
    found, expected = size(problem.in_order(smallest), problem.images), torch.tensor(distances)
    assert (expected > 0.1).any()
    assert (found >= expected - 1e-4).all()
    # Some end at the border of another class than the nearest.
    assert (found <= 1.05 * expected + 1e-3).float().mean() > 0.8


def test_images_outside_the_ball_are_projected(trained, make_problem):
    # A weight so large that the first steps leave the ball and make every image adversarial.
    problem = make_problem(trained, norm="l2", eps=0.05)
    result = ATTACKS.build("cw[objective=own,searches=1,steps=3,lr=1,c=1000]").run(problem)
    reached = size(result.images, problem.images)
    assert float(reached.max()) <= 0.05 + 1e-6
    assert float((reached > 0.049).float().mean()) > 0.5
    clean = OBJECTIVES.build("own").bind(problem)(problem.clean, torch.arange(len(problem)))
    assert (result.objective >= clean - 1e-5).all()


def test_an_objective_that_is_flat_at_the_clean_image_gets_a_random_start(trained, make_problem):
    result = ATTACKS.build("cw[objective=shift,kappa=2]").run(make_problem(trained, norm="l2", eps=0.3))
    assert result.zero_gradient == 0
    noise = ATTACKS.build("noise").run(make_problem(trained, norm="l2", eps=0.3)).images
    problem = make_problem(trained, norm="l2", eps=0.3)
    control = OBJECTIVES.build("shift").bind(problem)(trained(noise), torch.arange(len(problem)))
    assert float(result.objective.mean()) > 2 * float(control.mean())


def test_zero_gradients_are_counted(linear, make_problem):
    class Rounded(type(linear)):
        def forward(self, images):
            return super().forward((images * 15).round() / 15)

    result = ATTACKS.build("cw[searches=1,steps=2]").run(make_problem(Rounded().eval(), norm="l2"))
    assert result.zero_gradient == 1


@pytest.mark.parametrize("eps", [0.2, 0.4])
def test_nearly_as_many_queries_fail_as_under_pgd_decay(trained, make_problem, eps):
    failing = [
        float(
            (ATTACKS.build(name).run(make_problem(trained, norm="l2", eps=eps)).objective > 0).float().mean()
        )
        for name in ("cw", "pgd_decay[objective=neighbour]")
    ]
    assert failing[1] > 0 and failing[0] >= failing[1] - 0.1


def test_more_images_fail_than_under_torchattacks_with_as_many_steps(
    torchattacks, trained, make_problem, classifier_of
):
    """Theirs has one weight for all images, so several are compared; both within the ball."""
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
