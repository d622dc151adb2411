"""Each check of the contracts of attacks and objectives fails for a class that breaks it."""

import random
from typing import ClassVar

import pytest
import torch

from attacks import AttackResult, Noise, Objective
from attacks.objectives.base import with_gradient
from attacks.optimisers.pgd import PGD
from benchmark.evaluation.conformance.attacks import ATTACK
from benchmark.evaluation.conformance.objectives import OBJECTIVE

from .results import failures


class Step(PGD):
    """A sound attack, of two steps."""

    name = "step"
    steps: int = 2


class OtherSpec(Step):
    @property
    def spec(self):
        return "step[steps=3]"


class NoSuchAccess(Step):
    access: ClassVar = "grey"


class NoSuchNorm(Step):
    norms: ClassVar = ("linf", "l1")


class NoSuchScenario(Step):
    def made_for(self):
        return ("retrieval",)


class LeavesBall(Step):
    def perturb(self, problem):
        images = super().perturb(problem).images
        return AttackResult((images + 0.2).clamp(0, 1))


class InDoubles(Step):
    def perturb(self, problem):
        return AttackResult(super().perturb(problem).images.double())


class OneValue(Step):
    def perturb(self, problem):
        result = super().perturb(problem)
        return AttackResult(result.images, result.objective[:1])


class DrawsGlobally(Step):
    def perturb(self, problem):
        result = super().perturb(problem)
        flip = (torch.rand_like(result.images) < 0.5).float()
        return AttackResult(flip * result.images + (1 - flip) * problem.images)


class Overwrites(Step):
    def perturb(self, problem):
        result = super().perturb(problem)
        problem.images.copy_(result.images)
        return result


class Thaws(Step):
    def perturb(self, problem):
        problem.embedder.requires_grad_(True)
        return super().perturb(problem)


class SetsThreads(Step):
    def perturb(self, problem):
        torch.use_deterministic_algorithms(True)
        return super().perturb(problem)


class Seeds(Step):
    def perturb(self, problem):
        torch.manual_seed(3)
        return super().perturb(problem)


class FromTheSystem(Step):
    def perturb(self, problem):
        images = super().perturb(problem).images
        return AttackResult(images + 0.1 * random.SystemRandom().random() * (problem.images - images))


class Everything(Step):
    def perturb(self, problem):
        problem.attacked = None
        return AttackResult(super().perturb(problem).images)


class Cheap(Step):
    def cost_per_image(self):
        return 1.0


class SaysBlack(Step):
    access: ClassVar = "black"

    def perturb(self, problem):
        images = problem.images.clone().requires_grad_(True)
        problem.embedder(images).sum().backward(inputs=[images])
        return AttackResult(problem.images.clone())

    def cost_per_image(self):
        return 2.0


class SaysNothing(Noise):
    def perturb(self, problem):
        problem.embedder(problem.images)
        return super().perturb(problem)

    def cost_per_image(self):
        return 1.0


class GrayOnly(Step):
    def perturb(self, problem):
        assert problem.shape[1] == 1
        return super().perturb(problem)


BROKEN = [
    (DrawsGlobally, "own_draws", "give different images. Draw with ball.random_start"),
    (OtherSpec, "spec", "gives another step"),
    (NoSuchAccess, "declarations", "access is 'grey'"),
    (NoSuchNorm, "declarations", "norms is ('linf', 'l1')"),
    (NoSuchScenario, "declarations", "no scenario 'retrieval'"),
    (LeavesBall, "perturbs", "left its ball: 0.3"),
    (InDoubles, "perturbs", "torch.float64"),
    (OneValue, "perturbs", "objective has shape (1,)"),
    (Overwrites, "leaves_images", "clean images in place"),
    (Thaws, "leaves_model", "it changes requires_grad"),
    (SetsThreads, "leaves_settings", "the flag of deterministic algorithms"),
    (Seeds, "leaves_settings", "it seeds the generator of torch"),
    (FromTheSystem, "same_seed", "different images"),
    (Everything, "attacked_only", "19 other images are changed"),
    (Cheap, "cost", "cost_per_image() is 1, but 5"),
    (SaysBlack, "access", "takes a gradient"),
    (SaysNothing, "access", "it embeds 24 images"),
    (GrayOnly, "other_problems", "(test_attacks.py, line"),
]
ALSO_FAIL = {Overwrites: {"perturbs"}, Thaws: {"cost"}}


@pytest.mark.slow
@pytest.mark.parametrize(("attack", "check", "message"), BROKEN)
def test_a_broken_attack_fails_exactly_its_check(attack, check, message):
    found = failures(attack)
    assert set(found) == {check} | ALSO_FAIL.get(attack, set()), found
    assert message in found[check]


def test_every_check_of_attacks_has_a_class_that_fails_it():
    assert {check for _, check, _ in BROKEN} == set(ATTACK.checks)


@pytest.mark.parametrize("attack", [Step, Noise])
def test_a_sound_attack_fails_no_check(attack):
    assert failures(attack) == {}


class Away(Objective):
    """A sound objective: away from the first axis."""

    name = "away"
    sign: float = 1.0

    def bind(self, problem):
        return lambda embeddings, index: -self.sign * embeddings[:, 0]


class OtherAway(Away):
    @property
    def spec(self):
        return "away[sign=2]"


class ForNothing(Away):
    scenarios: ClassVar = ("sorting",)


class OneForAll(Away):
    def bind(self, problem):
        return lambda embeddings, index: embeddings[:, 0].sum()


class Infinite(Away):
    def bind(self, problem):
        return lambda embeddings, index: embeddings[:, 0] / (embeddings - problem.clean[index]).norm(dim=1)


class Rooted(Away):
    def bind(self, problem):
        return lambda embeddings, index: (embeddings - problem.clean[index]).square().sum(1).sqrt()


class Unpooled(Away):
    pooled: ClassVar = True


class Detached(Away):
    def bind(self, problem):
        return lambda embeddings, index: embeddings[:, 0].detach()


class OfTheBatch(Away):
    def bind(self, problem):
        return lambda embeddings, index: embeddings[:, 0] - embeddings.mean()


class Flat(Away):
    def bind(self, problem):
        return lambda embeddings, index: (embeddings - problem.clean[index]).square().sum(1)


class Unseeded(Away):
    def bind(self, problem):
        shift = random.SystemRandom().random()
        return lambda embeddings, index: embeddings[:, 0] + shift


class Changes(Away):
    def bind(self, problem):
        problem.clean.mul_(1.5)
        return super().bind(problem)


class NoMargin(Away):
    is_margin: ClassVar = True


class Shrinking(Away):
    class Score:
        progress = 0.0

        def anneal(self, progress):
            self.progress = progress

        def __call__(self, embeddings, index):
            # As an attack calls it in its steps, where it wants the gradient too.
            return (1 - self.progress * embeddings.requires_grad) * embeddings[:, 0]

    def bind(self, problem):
        return self.Score()


class Exploding(Shrinking):
    class Score(Shrinking.Score):
        def __call__(self, embeddings, index):
            return with_gradient(embeddings[:, 0].detach(), embeddings, embeddings.detach() / (1 - self.late))

        late = 0.0

        def anneal(self, progress):
            self.late = float(progress > 0.5)


class SeedsAll(Away):
    def bind(self, problem):
        random.seed(0)
        return super().bind(problem)


BROKEN_OBJECTIVES = [
    (OtherAway, "spec", "gives another away"),
    (ForNothing, "declarations", "no scenario 'sorting'"),
    (OneForAll, "values", "for 24 clean images it gives ()"),
    (Infinite, "values", "at clean images a value is not finite"),
    (Unpooled, "values", "has no method observe"),
    (Detached, "gradient", "no gradient"),
    (Rooted, "gradient", "the gradient at clean images is not finite"),
    (OfTheBatch, "any_batch", "differs by"),
    (Flat, "flat_at_clean", "flat_at_clean is False"),
    (Shrinking, "anneals", "after anneal(0.9) a value differs by"),
    (Exploding, "anneals", "after anneal(0.9) a gradient is not finite"),
    (Unseeded, "same_seed", "different values"),
    (Changes, "leaves_problem", "in place"),
    (SeedsAll, "leaves_settings", "it seeds the generator of Python"),
    (NoMargin, "is_margin", "another sign than R@1's margin"),
]


@pytest.mark.parametrize(("objective", "check", "message"), BROKEN_OBJECTIVES)
def test_a_broken_objective_fails_exactly_its_check(objective, check, message):
    found = failures(objective)
    also = {Unseeded: {"any_batch"}, Changes: {"same_seed"}}.get(objective, set())
    assert set(found) == {check} | also, found
    assert message in found[check]


def test_every_check_of_objectives_has_a_class_that_fails_it():
    assert {check for _, check, _ in BROKEN_OBJECTIVES} == set(OBJECTIVE.checks)


def test_a_sound_objective_fails_no_check():
    assert failures(Away) == {}
