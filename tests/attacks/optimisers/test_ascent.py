import pytest
import torch
import torch.nn.functional as F

from attacks import ATTACKS, OBJECTIVES, PooledScore, Problem
from attacks.optimisers.evaluation import evaluate, score_and_gradient
from benchmark.core.embedder import Embedder


class Noisy(Embedder):
    """Embeds images plus fresh noise, and records the batch sizes."""

    randomised = True

    def __init__(self, inner, deviation=0.1):
        super().__init__()
        self.inner = inner
        self.deviation = deviation
        self.sizes = []

    def forward(self, images):
        self.sizes.append(len(images))
        return self.inner(images + self.deviation * torch.randn_like(images))


class Deterministic(Noisy):
    randomised = False

    def forward(self, images):
        self.sizes.append(len(images))
        return self.inner(images)


def test_gradients_of_a_randomised_model_are_means_over_eot_samples(linear, make_problem):
    problem = make_problem(Noisy(linear), eot=4)
    problem.clean = linear(problem.images).detach()
    score = OBJECTIVES.build("own").bind(problem)
    index = torch.tensor([3, 8, 1])
    images = problem.images[index]
    torch.manual_seed(1)
    values, gradient, embeddings = score_and_gradient(problem, score, images, index)
    torch.manual_seed(1)
    draws = 0.1 * torch.randn(12, 1, 8, 8).view(4, 3, 1, 8, 8)
    samples = []
    for draw in draws:
        leaf = images.clone().requires_grad_(True)
        embedded = linear(leaf + draw)
        value = score(embedded, index)
        samples.append((value.detach(), torch.autograd.grad(value.sum(), leaf)[0], embedded.detach()))
    for found, each in zip((values, gradient, embeddings), zip(*samples, strict=True), strict=True):
        torch.testing.assert_close(found, torch.stack(each).mean(0))
    torch.manual_seed(1)
    found, _ = evaluate(problem, score, images, index)
    torch.testing.assert_close(found, values)


def test_only_a_randomised_model_needs_several_eot_samples(linear, make_problem):
    attack = ATTACKS.build("pgd[objective=own,steps=3]")
    seen = []
    for embedder in (Noisy(linear), Deterministic(linear)):
        problem = make_problem(embedder, eot=5, batch_size=50)
        assert problem.eot_samples == (5 if embedder.randomised else 1)
        attack.run(problem)
        assert max(embedder.sizes) <= 50
        seen.append(sum(embedder.sizes) / len(problem))
    # The clean pool, three gradients, the last iterate; for a randomised model also the best iterate again.
    assert seen == [5 * (1 + 3 + 1 + 1), 1 + 3 + 1]


def test_the_clean_embedding_of_a_randomised_model_is_the_mean_direction(linear, make_problem):
    problem = make_problem(Noisy(linear), eot=3, batch_size=12)
    torch.manual_seed(4)
    clean = problem.clean
    torch.manual_seed(4)
    expected = []
    for index in problem.batches(problem.all_indices):
        batch = problem.images[index]
        draws = 0.1 * torch.randn(3 * len(batch), 1, 8, 8)
        samples = linear(batch.repeat(3, 1, 1, 1) + draws).view(3, len(batch), -1)
        expected.append(F.normalize(samples.mean(0)))
    torch.testing.assert_close(clean, problem.in_order(expected))


@pytest.mark.slow
def test_more_eot_samples_make_a_stronger_attack_on_a_randomised_model(trained, pool, attack_on, objective):
    if objective == "recluster":
        pytest.skip("its centroids follow the attack, so values of two attacks are not comparable")
    if objective == "gallery_away":
        objective += "[cooling=1]"  # its values are then what each step raises

    def reached(eot):
        torch.manual_seed(0)
        model = Noisy(trained, 0.2)
        problem = Problem(model, pool.images, pool.labels, pool.ids, "linf", 0.05, eot=eot)
        result = attack_on("pgd_decay", objective, steps=6).run(problem)
        evaluation = Problem(model, pool.images, pool.labels, pool.ids, "linf", 0.05, eot=30)
        score = OBJECTIVES.build(objective).bind(evaluation)
        index = torch.arange(len(evaluation))
        _, embeddings = evaluate(evaluation, score, result.images, index)
        if isinstance(score, PooledScore):
            score.observe(index, embeddings)
        return float(evaluate(evaluation, score, result.images, index)[0].mean())

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


class WithoutStandIn(Quantised):
    def differentiable(self):
        return self


class StandIn(Embedder):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, images):
        return self.inner(images * 0.7)


def test_a_stand_in_gives_gradients_to_a_model_that_has_none(trained, make_problem, attack_on, objective):
    without = attack_on("pgd", objective, steps=8).run(make_problem(WithoutStandIn(trained), eps=0.1))
    with_stand_in = attack_on("pgd", objective, steps=8).run(make_problem(Quantised(trained), eps=0.1))
    assert float(with_stand_in.objective.mean()) > float(without.objective.mean()) + 0.03


def test_scores_are_those_of_the_model_and_not_of_its_stand_in(
    trained, make_problem, attack_on, scores_at, per_image_objective
):
    problem = make_problem(Quantised(trained), eps=0.1)
    result = attack_on("pgd", per_image_objective, steps=4).run(problem)
    torch.testing.assert_close(result.objective, scores_at(problem, per_image_objective, result.images))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_images_are_laid_out_as_the_kernels_are(layout):
    class Convolution(Embedder):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Conv2d(3, 4, 3).to(memory_format=layout)

        def forward(self, images):
            assert images.is_contiguous(memory_format=layout)
            return F.normalize(self.layer(images).amax((2, 3)))

    torch.manual_seed(0)
    embedder = Convolution().eval().requires_grad_(False)
    images, labels = torch.rand(8, 3, 6, 6), torch.arange(8) % 2
    problem = Problem(embedder, images, labels, torch.arange(8), "linf", 0.1)
    problem.clean = F.normalize(torch.randn(8, 4))
    result = ATTACKS.build("pgd[objective=own,steps=3]").run(problem)
    assert result.images.is_contiguous()  # the pool's layout
    assert not torch.equal(result.images, images)


@pytest.mark.parametrize(
    ("attack", "norm", "starts", "steps"),
    [
        ("pgd_decay[objective=own,steps=4,restarts=2]", "linf", 2, [0, 0.25, 0.5, 0.75]),
        ("pgd_decay[objective=pool,steps=4,restarts=2]", "linf", 2, [0, 0.25, 0.5, 0.75]),
        ("fgsm[objective=own]", "linf", 1, [0]),
        ("cw[objective=own,searches=2,steps=4]", "l2", 1, [0, *2 * [0.25, 0.5, 0.75]]),
    ],
)
def test_a_score_is_told_before_each_step_how_many_are_done(
    linear, make_problem, monkeypatch, attack, norm, starts, steps
):
    told, valued = [], set()

    class Told:
        """A score with a method `anneal`."""

        def __init__(self, score):
            self.score = score
            self.observe = getattr(score, "observe", None)

        def __call__(self, embeddings, index):
            if embeddings.requires_grad:
                told.append(self.progress)
            else:
                valued.add(self.progress)
            return self.score(embeddings, index)

        def anneal(self, progress):
            self.progress = progress

    objective = OBJECTIVES.build(ATTACKS.build(attack).objective)
    bind = type(objective).bind
    monkeypatch.setattr(type(objective), "bind", lambda self, problem: Told(bind(self, problem)))
    problem = make_problem(linear, norm=norm, batch_size=16)
    assert len(problem.batches(problem.perturbed)) == 2
    ATTACKS.build(attack).run(problem)
    if objective.pooled:  # all batches take a step together
        assert told == starts * [progress for progress in steps for _ in range(2)]
        assert valued == {0.0}
    else:
        assert told == starts * 2 * steps
