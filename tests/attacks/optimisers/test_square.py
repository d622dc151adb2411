import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from attacks import ATTACKS, Problem
from benchmark.core.embedder import Embedder
from benchmark.core.errors import AttackError, UsageError

RADII = {"linf": 0.08, "l2": 0.5}


def test_the_schedule_is_that_of_the_paper():
    square = ATTACKS.build("square[queries=10000]")
    halvings = [q for q in range(1, 10_000) if square.window_fraction(q) == square.window_fraction(q - 1) / 2]
    assert [q - 1 for q in halvings] == [10, 50, 200, 1000, 2000, 4000, 6000, 8000]
    assert square.window_fraction(0) == 0.8 and square.window_fraction(9999) == 0.8 / 256
    short = ATTACKS.build("square[queries=500,p_init=1/4]")
    assert [short.window_fraction(q) for q in range(4)] == [
        0.25,
        0.125,
        0.125,
        0.0625,
    ]  # the start, 20, 40, 60
    assert short.window_fraction(499) == 0.25 / 256


@pytest.mark.parametrize("text", ["square[p_init=0]", "square[p_init=1.1]", "square[queries=0]"])
def test_bad_schedules_are_rejected(text):
    with pytest.raises(UsageError, match=r"greater than 0|less than or equal to 1"):
        ATTACKS.build(text)


def test_more_queries_never_lower_the_score(trained, make_problem, attack_on, per_image_objective, norm):
    values = [
        attack_on("square", per_image_objective, queries=n)
        .run(make_problem(trained, norm=norm, eps=RADII[norm]))
        .objective
        for n in (1, 2, 4)
    ]
    # The schedule depends on the number of queries, the first window does not.
    assert (values[1] >= values[0]).all()
    assert float(values[2].mean()) > float(values[0].mean())


@pytest.mark.slow
def test_queries_score_higher_than_noise(trained, make_problem, attack_on, scores_at, objective, norm):
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
    by_gradient = attack_on("pgd", "neighbour", steps=20).run(make_problem(model, norm=norm, eps=RADII[norm]))
    assert by_gradient.zero_gradient == 1
    found = attack_on("square", "neighbour", queries=40).run(make_problem(model, norm=norm, eps=RADII[norm]))
    assert found.zero_gradient is None
    assert float(found.objective.mean()) > float(by_gradient.objective.mean()) + 0.05


def test_no_gradient_is_taken(trained, make_problem, attack_on, objective):
    class Watched(Embedder):
        def forward(self, images):
            assert not torch.is_grad_enabled() and not images.requires_grad
            return trained(images)

    problem = make_problem(Watched())
    _ = problem.clean
    attack_on("square", objective).run(problem)


class NanForAttacked(Embedder):
    """Embeds the clean images correctly, and all others as NaN."""

    def __init__(self, inner, clean):
        super().__init__()
        self.inner, self.clean = inner, clean

    def forward(self, images):
        known = (images.unsqueeze(1) == self.clean).flatten(2).all(2).any(1)
        return torch.where(known.unsqueeze(1), self.inner(images), torch.nan)


def test_a_score_that_is_not_a_number_raises(trained, pool, make_problem, attack_on, norm):
    for objective in ("own", "pool"):
        with pytest.raises(AttackError, match="not a number"):
            attack_on("square", objective).run(make_problem(NanForAttacked(trained, pool.images), norm=norm))


class Noisy(Embedder):
    """Adds noise to embeddings, so that two forward forward_passes of one image give different scores."""

    randomised = True

    def __init__(self, inner, deviation):
        super().__init__()
        self.inner, self.deviation = inner, deviation

    def forward(self, images):
        return self.inner(images) + self.deviation * torch.randn(len(images), 8)


@pytest.mark.parametrize("objective", ["own", "pool"])
def test_the_reported_score_is_not_a_lucky_sample(trained, pool, attack_on, scores_at, objective):
    problem = Problem(Noisy(trained, 1.0), pool.images, pool.labels, pool.ids, "linf", 0.05, eot=2)
    result = attack_on("square", objective, queries=40).run(problem)
    # The reported score is the mean of fresh samples, not the maximum of forty.
    fresh = torch.stack([scores_at(problem, objective, result.images).mean() for _ in range(50)])
    assert abs(float(result.objective.mean()) - float(fresh.mean())) < 4 * float(fresh.std())


def test_a_lucky_sample_does_not_end_the_search(trained, pool):
    class LuckyFirst(Embedder):
        randomised = True
        forward_passes = 0

        def forward(self, images):
            self.forward_passes += 1
            embeddings = trained(images)
            return -embeddings if self.forward_passes == 1 else embeddings

    model = LuckyFirst()
    problem = Problem(model, pool.images, pool.labels, pool.ids, "linf", 0.05, eot=2)
    problem.clean = trained(pool.images)

    def reached(queries):
        model.forward_passes = 0
        return ATTACKS.get("square")(objective="own", queries=queries).run(problem)

    start = reached(1).images
    assert torch.equal(reached(9).images, start)  # nothing beats the first sample
    assert (reached(30).images != start).flatten(1).any(1).float().mean() > 0.5


@pytest.mark.slow
@pytest.mark.parametrize(("norm", "their_norm"), [("linf", "Linf"), ("l2", "L2")])
def test_as_many_images_fail_as_under_torchattacks(
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


def test_a_query_needs_as_many_operations_for_many_images_as_for_few(trained, make_problem, attack_on, norm):
    def operations(queries, images):
        problem = make_problem(trained, norm=norm, attacked=torch.arange(images))
        _ = problem.centroids
        with Counting() as counter:
            attack_on("square", "own", queries=queries).run(problem)
        return counter.count

    assert operations(12, 4) - operations(2, 4) == operations(12, 30) - operations(2, 30) < 10 * 150


START = "pgd_decay[objective=own,steps=2]"


def test_a_search_may_start_from_another_attack(trained, make_problem, per_image_objective, norm):
    problem = make_problem(trained, norm=norm, eps=RADII[norm])
    found = ATTACKS.build(f"square[objective={per_image_objective},queries=1,start={START}]").run(problem)
    first = ATTACKS.build(START).run(make_problem(trained, norm=norm, eps=RADII[norm])).images
    assert torch.equal(found.images, first)
    more = ATTACKS.build(f"square[objective={per_image_objective},queries=6,start={START}]").run(
        make_problem(trained, norm=norm, eps=RADII[norm])
    )
    assert (more.objective >= found.objective).all() and not torch.equal(more.images, first)


def test_only_what_stands_is_searched_from_another_attack(trained, make_problem):
    attacked = torch.tensor([1, 4, 9])
    problem = make_problem(trained, attacked=attacked)
    result = ATTACKS.build(f"square[objective=pool,queries=4,start={START}]").run(problem)
    changed = (result.images != problem.images).flatten(1).any(1)
    assert changed.nonzero().squeeze(1).tolist() == attacked.tolist()


def test_the_attack_before_counts():
    attack = ATTACKS.build(f"square[objective=own,queries=7,start={START}]")
    first = ATTACKS.build(START)
    assert attack.cost_per_image() == 7 + first.cost_per_image()
    assert [part.name for part in attack.parts()] == ["square", "own", "pgd_decay", "own"]
    assert attack.spec == f"square[objective=own,queries=7,start={START}]"
    assert not ATTACKS.build("square[start=cw[objective=own]]").knows("linf")
    assert attack.knows("linf")


def test_on_a_model_without_gradients_it_starts_as_usual():
    attack = ATTACKS.build(f"square[objective=own,queries=7,start={START}]")
    assert attack.without_gradients().spec == "square[objective=own,queries=7]"
    kept = ATTACKS.build("square[objective=own,start=noise]")
    assert kept.without_gradients() == kept
    assert ATTACKS.build(START).without_gradients() is None


def test_a_search_cannot_start_from_another_model():
    with pytest.raises(UsageError, match="needs another model; give an attack on the model itself"):
        ATTACKS.build("square[start=transfer[source=vanilla]]")
