import torch
import torch.nn.functional as F

from attacks import ATTACKS, OBJECTIVES, Problem
from attacks.optimisers.ascent import evaluate, score_and_gradient
from benchmark.core.embedder import Embedder


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
        assert problem.eot_samples == (5 if embedder.randomised else 1)
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


def test_more_passes_make_a_stronger_attack_on_a_randomised_model(trained, pool, attack_on, objective):
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


def test_a_stand_in_gives_gradients_to_a_model_that_has_none(trained, make_problem, attack_on, objective):
    hidden = attack_on("pgd", objective, steps=8).run(make_problem(Hidden(trained), eps=0.1))
    climbed = attack_on("pgd", objective, steps=8).run(make_problem(Quantised(trained), eps=0.1))
    assert float(climbed.objective.mean()) > float(hidden.objective.mean()) + 0.05


def test_what_is_scored_is_the_model_and_not_its_stand_in(trained, make_problem, attack_on, scores_at, alone):
    problem = make_problem(Quantised(trained), eps=0.1)
    outcome = attack_on("pgd", alone, steps=4).run(problem)
    torch.testing.assert_close(outcome.objective, scores_at(problem, alone, outcome.images))
