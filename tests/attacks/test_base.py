import pytest
import torch

from attacks import ATTACKS, OBJECTIVES, Attack, AttackResult, Objective
from benchmark.core.errors import AttackError, UsageError


def returning(images):
    """An attack that returns given images."""

    class Bad(Attack):
        def perturb(self, problem):
            return AttackResult(images)

    Bad.name = "bad"
    return Bad()


def bump(images, amount):
    changed = images.clone()
    changed[3, 0, 2, 2] += amount
    return changed


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_an_attack_that_leaves_its_ball_raises(linear, make_problem, norm):
    problem = make_problem(linear, norm=norm, eps=0.05)
    problem.images = problem.images * 0.5 + 0.25
    returning(bump(problem.images, 0.05)).run(problem)
    for amount in (0.0501, -0.06):
        with pytest.raises(AttackError, match="bad left its ball"):
            returning(bump(problem.images, amount)).run(problem)


def test_many_small_changes_leave_the_l2_ball(linear, make_problem):
    problem = make_problem(linear, norm="l2", eps=0.05)
    problem.images = problem.images * 0.5 + 0.25
    returning(problem.images + 0.05 / 8).run(problem)
    with pytest.raises(AttackError, match="left its ball"):
        returning(problem.images + 0.051 / 8).run(problem)


def test_an_attack_that_leaves_the_range_raises(linear, make_problem):
    problem = make_problem(linear, eps=0.3)
    problem.images[3, 0, 2, 2] = 0.9
    returning(bump(problem.images, 0.1)).run(problem)
    with pytest.raises(AttackError, match=r"left the range \[0, 1\]"):
        returning(bump(problem.images, 0.101)).run(problem)
    problem.images[3, 0, 2, 2] = 0.1
    with pytest.raises(AttackError, match="left the range"):
        returning(bump(problem.images, -0.101)).run(problem)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_pixels_that_are_not_finite_raise(linear, make_problem, value):
    problem = make_problem(linear)
    with pytest.raises(AttackError, match="not numbers"):
        returning(bump(problem.images, value)).run(problem)


def test_images_of_another_shape_raise(linear, make_problem):
    problem = make_problem(linear)
    problem.images[:] = 0.5
    for images in (problem.images[:1], problem.images[:-1], problem.images.flatten(1)):
        with pytest.raises(AttackError, match="shape"):
            returning(images).run(problem)


def test_overwritten_clean_images_raise(linear, make_problem):
    class Overwriting(Attack):
        def perturb(self, problem):
            problem.images.mul_(0.5)
            return AttackResult(problem.images)

    with pytest.raises(AttackError, match="clean images"):
        Overwriting().run(make_problem(linear))


def test_defining_an_attack_does_not_register_it():
    assert "bad" not in ATTACKS.names()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("pgd[steps=20]", "pgd[objective=centroid_ce]"),
        ("pgd[steps=5,objective=own]", "pgd[objective=own,steps=5]"),
        (f"pgd[objective=pool[neighbours={OBJECTIVES.build('pool').neighbours}]]", "pgd[objective=pool]"),
        ("pgd[objective=pool[ neighbours = 5 ],step=1/4]", "pgd[objective=pool[neighbours=5],step=0.25]"),
        ("pgd_decay[restarts=2]", "pgd_decay[objective=centroid_ce,restarts=2]"),
    ],
)
def test_canonical_specs(text, expected):
    assert ATTACKS.build(text).spec == expected
    assert ATTACKS.build(expected).spec == expected


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("pgd[objective=onw]", "Did you mean 'own'?"),
        ("pgd[objective=pool[neighbours=0]]", "greater than 0"),
        ("pgd[objective=pool[k=3]]", "parameter of pool 'k'"),
        ("pgd[steps=0]", "greater than 0"),
        ("pgd[step=-1]", "greater than 0"),
        ("pgd[step=0]", "greater than 0"),
        ("pgd_decay[step=0/3]", "greater than 0"),
        ("fgsm[steps=3]", "parameter of fgsm 'steps'"),
        ("noise[objective=own]", "Valid: none"),
    ],
)
def test_bad_parameters_give_a_message_of_one_line(text, part):
    with pytest.raises(UsageError) as caught:
        ATTACKS.build(text)
    message = str(caught.value)
    assert part.lower() in message.lower()
    assert len(message.splitlines()) == 1
    assert not message.endswith("..")


def test_parts_include_the_objective():
    attack = ATTACKS.build("pgd[objective=pool[neighbours=5]]")
    assert attack.parts() == [attack, OBJECTIVES.build("pool[neighbours=5]")]


def test_the_clean_images_do_not_change(trained, make_problem):
    problem = make_problem(trained)
    images = problem.images.clone()
    ATTACKS.build("pgd[objective=own,steps=2]").run(problem)
    ATTACKS.build("pgd[objective=pool,steps=2]").run(problem)
    assert torch.equal(problem.images, images)


def test_an_objective_whose_gradient_is_not_finite_is_blamed_not_the_model(linear, make_problem, monkeypatch):
    class Distance(Objective):
        """Away from the clean embedding; its square root has no gradient there."""

        def bind(self, problem):
            return lambda embeddings, index: (embeddings - problem.clean[index]).square().sum(1).sqrt()

    monkeypatch.setattr(OBJECTIVES, "_entries", dict(OBJECTIVES._entries))
    OBJECTIVES.register("rooted")(Distance)
    attack = ATTACKS.build("fgsm[objective=rooted]")
    with pytest.raises(
        AttackError, match=r"^fgsm\[objective=rooted\]: The objective's gradient .* not finite"
    ):
        attack.run(make_problem(linear))
