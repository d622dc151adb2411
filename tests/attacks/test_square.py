import math

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from attacks import ATTACKS, Problem
from attacks.optimisers.updates import Ball
from attacks.optimisers.windows import WINDOWS, bump
from benchmark.core.embedder import Embedder
from benchmark.core.errors import AttackError, UsageError

RADII = {"linf": 0.08, "l2": 0.5}


def windows_of(norm, shape=(5, 2, 9, 9), eps=0.1):
    return WINDOWS[norm](Ball(torch.rand(shape) * 0.4 + 0.3, norm, eps))


def start_of(windows, count=5):
    return windows.start(2 * torch.rand(count, windows.start_draws) - 1)


def test_the_schedule_is_that_of_the_paper():
    square = ATTACKS.build("square[queries=10000]")
    halvings = [q for q in range(1, 10_000) if square.share(q) == square.share(q - 1) / 2]
    assert [q - 1 for q in halvings] == [10, 50, 200, 1000, 2000, 4000, 6000, 8000]
    assert square.share(0) == 0.8 and square.share(9999) == 0.8 / 256
    short = ATTACKS.build("square[queries=500,p_init=1/4]")
    assert [short.share(q) for q in range(4)] == [0.25, 0.125, 0.125, 0.0625]  # the start, 20, 40, 60
    assert short.share(499) == 0.25 / 256


@pytest.mark.parametrize("text", ["square[p_init=0]", "square[p_init=1.1]", "square[queries=0]"])
def test_what_is_no_schedule_is_refused(text):
    with pytest.raises(UsageError, match=r"greater than 0|less than or equal to 1"):
        ATTACKS.build(text)


@pytest.mark.parametrize("shape", [(1, 1, 28, 28), (1, 3, 5, 40), (1, 1, 2, 2), (1, 1, 1, 7)])
def test_sides_fit_the_image(norm, shape):
    windows = windows_of(norm, shape)
    for share in (1.0, 0.8, 0.1, 1e-4):
        side = windows.side(share)
        assert 1 <= side <= min(shape[2:])
        assert norm == "linf" or side % 2 == 1
    assert windows_of("linf", (1, 1, 28, 28)).side(0.8) == round(math.sqrt(0.8 * 784)) == 25
    assert windows_of("linf", (1, 1, 28, 28)).side(1e-4) == 1
    assert windows_of("l2", (1, 1, 28, 28)).side(1e-4) == 3


def test_windows_lie_anywhere_in_the_image_with_equal_chance():
    windows = windows_of("linf", (1, 1, 4, 6))
    corners = windows.places(3, 2 * torch.rand(8000, 2) - 1)[:, 0]
    assert torch.equal(corners[0] - corners[0, 0], torch.tensor([0, 1, 2, 6, 7, 8, 12, 13, 14]))
    counts = torch.bincount(corners[:, 0], minlength=24).view(4, 6)
    assert torch.equal(counts > 0, torch.tensor([[True] * 4 + [False] * 2] * 2 + [[False] * 6] * 2))
    assert counts[:2, :4].min() > 1000 - 150
    assert int(windows.places(3, torch.tensor([[1.0, 1.0]])).max()) == 23  # the end of the draws' range


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


def test_no_query_is_spent_on_an_image_that_does_not_change():
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


def test_bumps_start_on_the_sphere_and_stay_there():
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
    images = windows.ball.clean + 0.9 * (start_of(windows, 6) - windows.ball.clean)  # so that some is unused
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


def test_more_queries_never_hurt(trained, make_problem, attack_on, alone, norm):
    values = [
        attack_on("square", alone, queries=n).run(make_problem(trained, norm=norm, eps=RADII[norm])).objective
        for n in (1, 2, 4)
    ]
    # The schedule depends on the number of queries, the first window does not.
    assert (values[1] >= values[0]).all()
    assert float(values[2].mean()) > float(values[0].mean())


def test_queries_reach_higher_than_noise(trained, make_problem, attack_on, scores_at, objective, norm):
    noise = ATTACKS.build("noise").run(make_problem(trained, norm=norm, eps=RADII[norm])).images
    problem = make_problem(trained, norm=norm, eps=RADII[norm])
    found = attack_on("square", objective, queries=40).run(problem)
    control = scores_at(problem, objective, noise)
    assert float(scores_at(problem, objective, found.images).mean()) > float(control.mean()) + 0.02


class Rounded(Embedder):
    """Rounds its input and declares no stand-in: it has no gradient at all."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, images):
        return self.inner((images * 15).round() / 15)


def test_queries_find_what_gradients_cannot(trained, make_problem, attack_on, norm):
    model = Rounded(trained)
    blind = attack_on("pgd", "neighbour", steps=20).run(make_problem(model, norm=norm, eps=RADII[norm]))
    assert blind.zero_gradient == 1
    found = attack_on("square", "neighbour", queries=40).run(make_problem(model, norm=norm, eps=RADII[norm]))
    assert found.zero_gradient is None
    assert float(found.objective.mean()) > float(blind.objective.mean()) + 0.05


def test_no_gradient_is_ever_wanted(trained, make_problem, attack_on, objective):
    class Watched(Embedder):
        def forward(self, images):
            assert not torch.is_grad_enabled() and not images.requires_grad
            return trained(images)

    problem = make_problem(Watched())
    _ = problem.clean
    attack_on("square", objective).run(problem)


class Lost(Embedder):
    """Embeds the clean images well, and others as what is not a number."""

    def __init__(self, inner, clean):
        super().__init__()
        self.inner, self.clean = inner, clean

    def forward(self, images):
        known = (images.unsqueeze(1) == self.clean).flatten(2).all(2).any(1)
        return torch.where(known.unsqueeze(1), self.inner(images), torch.nan)


def test_a_score_that_is_not_a_number_does_not_pass_for_robustness(
    trained, pool, make_problem, attack_on, norm
):
    for objective in ("own", "pool"):
        with pytest.raises(AttackError, match="not a number"):
            attack_on("square", objective).run(make_problem(Lost(trained, pool.images), norm=norm))


class Shaky(Embedder):
    """Adds noise to embeddings, so that scores of one image differ from pass to pass."""

    randomised = True

    def __init__(self, inner, deviation):
        super().__init__()
        self.inner, self.deviation = inner, deviation

    def forward(self, images):
        return self.inner(images) + self.deviation * torch.randn(len(images), 8)


@pytest.mark.parametrize("objective", ["own", "pool"])
def test_a_lucky_draw_does_not_stay(trained, pool, attack_on, scores_at, objective):
    problem = Problem(Shaky(trained, 1.0), pool.images, pool.labels, pool.ids, "linf", 0.05, eot=2)
    outcome = attack_on("square", objective, queries=40).run(problem)
    # What is reported is a fresh draw's mean, not the best of forty draws.
    fresh = torch.stack([scores_at(problem, objective, outcome.images).mean() for _ in range(50)])
    assert abs(float(outcome.objective.mean()) - float(fresh.mean())) < 4 * float(fresh.std())


def test_a_lucky_draw_does_not_end_the_search(trained, pool):
    class Lucky(Embedder):
        randomised = True
        passes = 0

        def forward(self, images):
            self.passes += 1
            embeddings = trained(images)
            return -embeddings if self.passes == 1 else embeddings

    model = Lucky()
    problem = Problem(model, pool.images, pool.labels, pool.ids, "linf", 0.05, eot=2)
    problem.clean = trained(pool.images)

    def reached(queries):
        model.passes = 0
        return ATTACKS.get("square")(objective="own", queries=queries).run(problem)

    start = reached(1).images
    assert torch.equal(reached(9).images, start)  # nothing beats the first draw
    assert (reached(30).images != start).flatten(1).any(1).float().mean() > 0.5


@pytest.mark.parametrize(("norm", "their_norm"), [("linf", "Linf"), ("l2", "L2")])
def test_as_many_images_are_broken_as_by_torchattacks(
    torchattacks, trained, make_problem, classifier_of, norm, their_norm
):
    eps, queries, ours, theirs = RADII[norm] * 0.6, 60, [], []
    for seed in range(5):
        problem = make_problem(trained, norm=norm, eps=eps, seed=seed)
        classifier = classifier_of(problem)
        found = ATTACKS.get("square")(objective="centroid", queries=queries).run(problem)
        ours.append(float((found.objective > 0).float().mean()))
        reference = torchattacks.Square(
            classifier, norm=their_norm, eps=eps, n_queries=queries, loss="margin", seed=seed
        )
        images = reference(problem.images, problem.labels)
        theirs.append(float((classifier(images).argmax(1) != problem.labels).float().mean()))
    clean = float((classifier(problem.images).argmax(1) != problem.labels).float().mean())
    assert 0.2 < sum(theirs) / 5 - clean < 0.9 - clean
    assert sum(ours) / 5 >= sum(theirs) / 5 - 0.03


class Counting(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += 1
        return func(*args, **(kwargs or {}))


def test_a_query_takes_as_many_operations_for_many_images_as_for_few(trained, make_problem, attack_on, norm):
    def operations(queries, images):
        problem = make_problem(trained, norm=norm, attacked=torch.arange(images))
        _ = problem.centroids
        with Counting() as counter:
            attack_on("square", "own", queries=queries).run(problem)
        return counter.count

    assert operations(12, 4) - operations(2, 4) == operations(12, 30) - operations(2, 30) < 10 * 150
