import math
import warnings
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from attacks import ATTACKS, OBJECTIVES, Problem
from attacks.geometry import random_start, steepest
from attacks.optimisers.ascent import Ascent, evaluate, score_and_gradient
from attacks.optimisers.rules import Steps
from benchmark.core.embedder import Embedder
from benchmark.core.errors import AttackError
from benchmark.models import PassCounter, count_flops

NORMS = ("linf", "l2")
ALONE = [name for name, cls in OBJECTIVES.items() if not cls.pooled]
CLIMBERS = [name for name, cls in ATTACKS.items() if "objective" in cls.model_fields]


def attack_on(name, objective, **parameters):
    """An attack by name with those of the parameters that it has, few steps unless they say otherwise."""
    wanted = {"objective": objective, "steps": 3, **parameters}
    cls = ATTACKS.get(name)
    return cls(**{key: value for key, value in wanted.items() if key in cls.model_fields})


def scores_at(problem, objective, images):
    score = OBJECTIVES.build(objective).bind(problem)
    return evaluate(problem, score, images, torch.arange(len(problem)))[0]


EVERY_PAIR = [(name, objective) for name in CLIMBERS for objective in OBJECTIVES.names()]
EVERY_PAIR += [(name, "none") for name in ATTACKS.names() if name not in CLIMBERS]


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize(("name", "objective"), EVERY_PAIR)
@settings(max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    eps=st.sampled_from([1e-4, 8 / 255, 0.3, 3.0]), seed=st.integers(0, 99), step=st.sampled_from([None, 4.0])
)
def test_every_attack_keeps_the_ball_and_the_range(trained, pool, name, objective, norm, eps, seed, step):
    # Many pixels at the ends of the range, images that are equal, a class of one image.
    images = (2 * pool.images - 0.5).clamp(0, 1)
    images[1] = images[0]
    labels = pool.labels.clone()
    labels[-1] = 6
    problem = Problem(trained, images, labels, pool.ids, norm, eps, seed)
    outcome = attack_on(name, objective, step=step, restarts=2).run(problem)
    delta = (outcome.images - images).double().flatten(1)
    size = delta.abs().amax(1) if norm == "linf" else delta.norm(dim=1)
    assert outcome.images.shape == images.shape
    assert outcome.images.dtype == torch.float32
    assert float(size.max()) <= eps + 1e-6 * (1 if norm == "linf" else 1 + eps)
    assert float(outcome.images.min()) >= 0 and float(outcome.images.max()) <= 1
    assert torch.isfinite(outcome.images).all()
    assert outcome.objective is None or torch.isfinite(outcome.objective).all()


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize(("name", "objective"), EVERY_PAIR)
def test_the_outcome_is_reproducible_and_its_score_is_true(trained, make_problem, name, objective, norm):
    eps = 0.05 if norm == "linf" else 0.3
    attack = attack_on(name, objective)
    first = attack.run(make_problem(trained, norm=norm, eps=eps))
    torch.manual_seed(123)
    again = attack.run(make_problem(trained, norm=norm, eps=eps))
    assert torch.equal(first.images, again.images)
    if first.objective is None:
        return
    problem = make_problem(trained, norm=norm, eps=eps)
    score = OBJECTIVES.build(objective).bind(problem)
    with torch.no_grad():
        embeddings = trained(first.images)
        if hasattr(score, "observe"):
            score.observe(torch.arange(len(problem)), embeddings)
        torch.testing.assert_close(first.objective, score(embeddings, torch.arange(len(problem))))


def test_noise_is_the_random_point_itself(linear, make_problem):
    problem = make_problem(linear, seed=5)
    outcome = ATTACKS.build("noise").run(problem)
    assert outcome.objective is None
    other = ATTACKS.build("noise").run(make_problem(linear, seed=6))
    assert not torch.equal(outcome.images, other.images)
    assert float((outcome.images - problem.images).abs().mean()) == pytest.approx(0.025, rel=0.3)


def test_fgsm_is_one_signed_step(linear, make_problem):
    problem = make_problem(linear, eps=0.05)
    outcome = ATTACKS.build("fgsm[objective=own]").run(problem)
    images = problem.images.clone().requires_grad_(True)
    score = OBJECTIVES.build("own").bind(problem)
    (gradient,) = torch.autograd.grad(score(linear(images), torch.arange(len(images))).sum(), images)
    expected = (problem.images + 0.05 * gradient.sign()).clamp(0, 1)
    risen = scores_at(problem, "own", expected) > scores_at(problem, "own", problem.images)
    assert risen.all()
    torch.testing.assert_close(outcome.images, expected)


def test_fgsm_starts_elsewhere_where_the_objective_is_flat(linear, make_problem):
    outcome = ATTACKS.build("fgsm[objective=shift]").run(make_problem(linear))
    assert float(outcome.objective.min()) > 1e-3


@pytest.mark.parametrize("norm", NORMS)
def test_the_first_step_of_pgd_by_hand(linear, make_problem, norm):
    problem = make_problem(linear, norm=norm, eps=0.2, seed=3)
    outcome = ATTACKS.build("pgd[objective=own,steps=1,step=0.3]").run(problem)
    start = random_start(problem.images, problem.ids, norm, 0.2, 3, 0)
    score = OBJECTIVES.build("own").bind(problem)
    _, gradient, _ = score_and_gradient(problem, score, start, torch.arange(len(start)))
    moved = start + 0.3 * 0.2 * steepest(gradient, norm)
    delta = moved - problem.images
    size = delta.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    delta = delta.clamp(-0.2, 0.2) if norm == "linf" else torch.where(size > 0.2, delta * 0.2 / size, delta)
    torch.testing.assert_close(outcome.images, (problem.images + delta).clamp(0, 1))


def test_step_sizes():
    assert ATTACKS.build("pgd[steps=5]").step_sizes() == [0.5] * 5
    assert ATTACKS.build("pgd[steps=2,step=1/4]").step_sizes() == [0.25, 0.25]
    falling = ATTACKS.build("pgd_decay[steps=4]").step_sizes()
    assert falling == pytest.approx([0.25 * (1 + math.cos(math.pi * t / 4)) for t in range(4)])
    assert falling[0] == 0.5 and falling == sorted(falling, reverse=True) and falling[-1] > 0
    assert ATTACKS.build("pgd_decay[steps=3,step=2]").step_sizes()[0] == 2


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("objective", OBJECTIVES.names())
@pytest.mark.parametrize("name", ["pgd", "pgd_decay"])
def test_many_steps_reach_higher_than_one(trained, make_problem, name, objective, norm):
    eps = 0.05 if norm == "linf" else 0.3
    many = attack_on(name, objective, steps=10).run(make_problem(trained, norm=norm, eps=eps))
    one = attack_on("fgsm", objective).run(make_problem(trained, norm=norm, eps=eps))
    assert float(many.objective.mean()) >= float(one.objective.mean()) - 1e-4


@pytest.mark.parametrize("objective", OBJECTIVES.names())
def test_an_attack_reaches_higher_than_noise(trained, make_problem, objective):
    noise = ATTACKS.build("noise").run(make_problem(trained)).images
    climbed = attack_on("pgd_decay", objective, steps=5).run(make_problem(trained))
    problem = make_problem(trained)
    score = OBJECTIVES.build(objective).bind(problem)
    index = torch.arange(len(problem))
    _, embeddings = evaluate(problem, score, noise, index)
    if hasattr(score, "observe"):
        score.observe(index, embeddings)
    assert float(climbed.objective.mean()) > float(score(embeddings, index).mean()) + 1e-2


@pytest.mark.parametrize("objective", ALONE)
def test_the_best_iterate_is_kept(trained, make_problem, objective):
    problem = make_problem(trained, eps=0.1)
    start = random_start(problem.images, problem.ids, "linf", 0.1, problem.seed, 0)
    before = scores_at(problem, objective, start)
    # With a step of ten radii each iterate jumps from corner to corner, often downhill.
    values = [attack_on("pgd", objective, steps=n, step=10.0).run(problem).objective for n in range(1, 5)]
    for value in values:
        assert (value >= before - 1e-5).all()
        before = value


@pytest.mark.parametrize("objective", OBJECTIVES.names())
def test_restarts_never_hurt(trained, make_problem, objective):
    values = [attack_on("pgd", objective, restarts=n).run(make_problem(trained)).objective for n in (1, 2, 4)]
    for fewer, more in pairwise(values):
        if OBJECTIVES.get(objective).pooled:
            assert float(more.mean()) >= float(fewer.mean())
        else:
            assert (more >= fewer).all()
    assert float(values[2].mean()) > float(values[0].mean()) or OBJECTIVES.get(objective).pooled


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("objective", OBJECTIVES.names())
def test_the_size_of_a_batch_changes_nothing(linear, make_problem, objective, norm):
    attack = attack_on("pgd", objective, restarts=2)
    whole = attack.run(make_problem(linear, norm=norm, eps=0.1))
    for size in (1, 7):
        parts = attack.run(make_problem(linear, norm=norm, eps=0.1, batch_size=size))
        torch.testing.assert_close(parts.images, whole.images, atol=1e-6, rtol=0)
        torch.testing.assert_close(parts.objective, whole.objective)


@pytest.mark.parametrize("objective", ALONE)
def test_an_image_is_attacked_the_same_in_any_order(linear, pool, objective):
    order = torch.randperm(len(pool))
    attack = attack_on("pgd", objective)
    if objective == "scatter":  # deals its targets in the order of the pool
        order = torch.argsort(torch.rand(6)[pool.labels], stable=True)
    straight = attack.run(Problem(linear, pool.images, pool.labels, pool.ids, "linf", 0.1))
    mixed = attack.run(Problem(linear, pool.images[order], pool.labels[order], pool.ids[order], "linf", 0.1))
    torch.testing.assert_close(mixed.images, straight.images[order], atol=1e-6, rtol=0)


@pytest.mark.parametrize(("name", "objective"), EVERY_PAIR)
def test_the_model_is_left_as_it_was(make_member, make_problem, name, objective):
    member = make_member().eval()
    state = {key: value.clone() for key, value in member.state_dict().items()}
    wants_gradient = [parameter.requires_grad for parameter in member.parameters()]
    attack_on(name, objective).run(make_problem(member))
    assert all(torch.equal(value, state[key]) for key, value in member.state_dict().items())
    assert all(parameter.grad is None for parameter in member.parameters())
    assert [parameter.requires_grad for parameter in member.parameters()] == wants_gradient
    assert not any(module.training for module in member.modules())


@pytest.mark.parametrize("name", CLIMBERS)
def test_passes_are_as_announced(trained, make_problem, name):
    attack = attack_on(name, "own", steps=4, restarts=2)
    problem = make_problem(trained)
    _ = problem.clean  # what the objective needs of the clean pool is made once for all attacks
    with PassCounter(trained, (1, 8, 8), count_flops(trained, (1, 8, 8))) as counter:
        attack.run(problem)
    assert counter.total == attack.passes_per_image() * len(problem)


class Shaky(Embedder):
    """Embeds images plus fresh noise, and notes how many images it has seen."""

    randomised = True

    def __init__(self, inner, deviation=0.1):
        super().__init__()
        self.inner = inner
        self.deviation = deviation
        self.sizes = []

    def forward(self, images):
        self.sizes.append(len(images))
        return self.inner(images + self.deviation * torch.randn_like(images))


class Still(Shaky):
    randomised = False

    def forward(self, images):
        self.sizes.append(len(images))
        return self.inner(images)


def test_gradients_of_a_randomised_model_are_means_over_passes(linear, make_problem):
    problem = make_problem(Shaky(linear), eot=4)
    problem.clean = linear(problem.images).detach()
    score = OBJECTIVES.build("own").bind(problem)
    index = torch.tensor([3, 8, 1])
    images = problem.images[index]
    torch.manual_seed(1)
    values, gradient, embeddings = score_and_gradient(problem, score, images, index)
    torch.manual_seed(1)
    draws = 0.1 * torch.randn(12, 1, 8, 8).view(4, 3, 1, 8, 8)
    passes = []
    for draw in draws:
        wanted = images.clone().requires_grad_(True)
        embedded = linear(wanted + draw)
        value = score(embedded, index)
        passes.append((value.detach(), torch.autograd.grad(value.sum(), wanted)[0], embedded.detach()))
    for found, each in zip((values, gradient, embeddings), zip(*passes, strict=True), strict=True):
        torch.testing.assert_close(found, torch.stack(each).mean(0))
    torch.manual_seed(1)
    found, _ = evaluate(problem, score, images, index)
    torch.testing.assert_close(found, values)


def test_only_a_randomised_model_takes_several_passes(linear, make_problem):
    attack = ATTACKS.build("pgd[objective=own,steps=3]")
    seen = []
    for embedder in (Shaky(linear), Still(linear)):
        problem = make_problem(embedder, eot=5, batch_size=50)
        assert problem.passes == (5 if embedder.randomised else 1)
        attack.run(problem)
        assert max(embedder.sizes) <= 50
        seen.append(sum(embedder.sizes) / len(problem))
    # The clean pool, three gradients, the last look; and where draws differ, the best one scored anew.
    assert seen == [5 * (1 + 3 + 1 + 1), 1 + 3 + 1]


def test_the_clean_embedding_of_a_randomised_model_is_the_mean_direction(linear, make_problem):
    problem = make_problem(Shaky(linear), eot=3, batch_size=12)
    torch.manual_seed(4)
    clean = problem.clean
    torch.manual_seed(4)
    expected = []
    for start in range(0, len(problem), 4):
        batch = problem.images[start : start + 4]
        draws = 0.1 * torch.randn(3 * len(batch), 1, 8, 8)
        passes = linear(batch.repeat(3, 1, 1, 1) + draws).view(3, len(batch), -1)
        expected.append(F.normalize(passes.mean(0)))
    torch.testing.assert_close(clean, torch.cat(expected))


@pytest.mark.parametrize("objective", OBJECTIVES.names())
def test_more_passes_make_a_stronger_attack_on_a_randomised_model(trained, pool, objective):
    def reached(eot):
        torch.manual_seed(0)
        model = Shaky(trained, 0.2)
        problem = Problem(model, pool.images, pool.labels, pool.ids, "linf", 0.05, eot=eot)
        outcome = attack_on("pgd_decay", objective, steps=6).run(problem)
        fair = Problem(model, pool.images, pool.labels, pool.ids, "linf", 0.05, eot=30)
        score = OBJECTIVES.build(objective).bind(fair)
        index = torch.arange(len(fair))
        _, embeddings = evaluate(fair, score, outcome.images, index)
        if hasattr(score, "observe"):
            score.observe(index, embeddings)
        return float(evaluate(fair, score, outcome.images, index)[0].mean())

    assert reached(15) > reached(1)


class Quantised(Embedder):
    """Rounds its input, so that its own gradient is zero; a smooth stand-in, biased on purpose, has one."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, images):
        return self.inner((images * 15).round() / 15)

    def differentiable(self):
        return StandIn(self.inner)


class Hidden(Quantised):
    def differentiable(self):
        return self


class StandIn(Embedder):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, images):
        return self.inner(images * 0.7)


@pytest.mark.parametrize("objective", OBJECTIVES.names())
def test_a_stand_in_gives_gradients_to_a_model_that_has_none(trained, make_problem, objective):
    hidden = attack_on("pgd", objective, steps=8).run(make_problem(Hidden(trained), eps=0.1))
    climbed = attack_on("pgd", objective, steps=8).run(make_problem(Quantised(trained), eps=0.1))
    assert float(climbed.objective.mean()) > float(hidden.objective.mean()) + 0.05


@pytest.mark.parametrize("objective", ALONE)
def test_what_is_scored_is_the_model_and_not_its_stand_in(trained, make_problem, objective):
    problem = make_problem(Quantised(trained), eps=0.1)
    outcome = attack_on("pgd", objective, steps=4).run(problem)
    torch.testing.assert_close(outcome.objective, scores_at(problem, objective, outcome.images))


class Broken(Embedder):
    """Embeds well, but its gradient is not a number."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, images):
        return self.inner(images) + 0 * (images - images).square().sum().sqrt()


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("objective", ["own", "pool"])
@pytest.mark.parametrize("name", CLIMBERS)
def test_a_gradient_that_is_not_a_number_does_not_pass_for_robustness(
    trained, make_problem, name, objective, norm
):
    with pytest.raises(AttackError, match="not a number"):
        attack_on(name, objective).run(make_problem(Broken(trained), norm=norm))


class Classifier(nn.Module):
    """Scaled cosines to the centroids of the clean pool as logits, as attack libraries want them."""

    def __init__(self, problem):
        super().__init__()
        self.embedder, self.centroids = problem.embedder, problem.centroids
        self.scale = OBJECTIVES.get("centroid_ce")().scale

    def forward(self, images):
        return self.scale * self.embedder(images) @ self.centroids.t()


@pytest.fixture
def torchattacks():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("torchattacks")


EPS, STEPS, STEP = 0.08, 10, 0.02


def test_from_the_same_start_no_image_is_behind_that_of_torchattacks(torchattacks, trained, make_problem):
    problem = make_problem(trained, eps=EPS)
    classifier = Classifier(problem).eval()
    reference = torchattacks.PGD(classifier, eps=EPS, alpha=STEP, steps=STEPS, random_start=False)
    theirs = F.cross_entropy(
        classifier(reference(problem.images, problem.labels)), problem.labels, reduction="none"
    )
    sizes = [STEP / EPS] * STEPS
    ours = Ascent(problem, "centroid_ce", lambda ball: Steps(ball, sizes), STEPS, start="clean").run()
    assert (ours.objective >= theirs.detach() - 1e-3).all()
    # Where the last iterate is the best, it is the same one.
    assert int(((ours.objective - theirs.detach()).abs() < 1e-3).sum()) >= 3


def test_from_random_starts_pgd_is_as_strong_as_that_of_torchattacks(torchattacks, trained, make_problem):
    reached, references = [], []
    for seed in range(5):
        problem = make_problem(trained, eps=EPS, seed=seed)
        classifier = Classifier(problem).eval()
        attack = ATTACKS.get("pgd")(objective="centroid_ce", steps=STEPS, step=STEP / EPS)
        reached.append(float(attack.run(problem).objective.mean()))
        reference = torchattacks.PGD(classifier, eps=EPS, alpha=STEP, steps=STEPS, random_start=True)
        logits = classifier(reference(problem.images, problem.labels)).detach()
        references.append(float(F.cross_entropy(logits, problem.labels)))
    clean = float(F.cross_entropy(classifier(problem.images), problem.labels))
    ours, theirs = sum(reached) / 5, sum(references) / 5
    assert theirs > clean + 1
    assert ours >= theirs - 0.02 * (theirs - clean)
