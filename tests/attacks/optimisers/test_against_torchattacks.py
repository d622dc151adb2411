"""Gradient attacks compared with torchattacks, on the embedder as a classifier."""

import pytest
import torch
import torch.nn.functional as F

from attacks import ATTACKS

EPS, STEPS, STEP = 0.08, 10, 0.02
SCALE = 0.85  # of the logits; sharper ones saturate, and then the random start decides
OBJECTIVE = f"centroid_ce[scale={SCALE}]"


def cross_entropy(classifier, images, labels):
    return F.cross_entropy(classifier(images), labels, reduction="none").detach()


@pytest.mark.parametrize(("name", "theirs"), [("bim", "PGD"), ("bim", "BIM"), ("mi_fgsm", "MIFGSM")])
def test_no_image_has_a_lower_objective_from_the_clean_image(
    torchattacks, trained, make_problem, classifier_of, name, theirs
):
    problem = make_problem(trained, eps=EPS)
    classifier = classifier_of(problem)
    options = {"random_start": False} if theirs == "PGD" else {}
    reference = getattr(torchattacks, theirs)(classifier, eps=EPS, alpha=STEP, steps=STEPS, **options)
    images = reference(problem.images, problem.labels)
    reached = cross_entropy(classifier, images, problem.labels)
    result = ATTACKS.get(name)(objective="centroid_ce", steps=STEPS, step=STEP / EPS).run(problem)
    assert (result.objective >= reached - 1e-3).all()
    # Where the last iterate is the best, it is the same one.
    same = (result.images - images).abs().flatten(1).amax(1) < 1e-5
    assert int(same.sum()) >= 3


def means_over_seeds(make_problem, trained, classifier_of, ours, theirs, norm="linf", eps=EPS):
    """Mean cross-entropy of our attack, of theirs, and of the clean images."""
    reached, references = [], []
    for seed in range(5):
        problem = make_problem(trained, norm=norm, eps=eps, seed=seed)
        classifier = classifier_of(problem)
        classifier.scale = SCALE / problem.cosine_gap
        reached.append(float(ours.run(problem).objective.mean()))
        references.append(float(theirs(classifier, seed, problem)))
    clean = float(cross_entropy(classifier, problem.images, problem.labels).mean())
    return sum(reached) / 5, sum(references) / 5, clean


def test_from_random_starts_pgd_is_as_strong(torchattacks, trained, make_problem, classifier_of):
    def run(classifier, seed, problem):
        reference = torchattacks.PGD(classifier, eps=EPS, alpha=STEP, steps=STEPS, random_start=True)
        return cross_entropy(classifier, reference(problem.images, problem.labels), problem.labels).mean()

    attack = ATTACKS.get("pgd")(objective=OBJECTIVE, steps=STEPS, step=STEP / EPS)
    ours, theirs, clean = means_over_seeds(make_problem, trained, classifier_of, attack, run)
    assert theirs > clean + 1
    assert ours >= theirs - 0.02 * (theirs - clean)


@pytest.mark.parametrize(("norm", "their_norm", "eps"), [("linf", "Linf", EPS), ("l2", "L2", 0.4)])
def test_auto_pgd_is_as_strong(torchattacks, trained, make_problem, classifier_of, norm, their_norm, eps):
    def run(classifier, seed, problem):
        reference = torchattacks.APGD(classifier, norm=their_norm, eps=eps, steps=20)
        reference.device = torch.device("cpu")
        torch.manual_seed(seed)
        losses, _ = reference.perturb(problem.images, problem.labels, best_loss=True)
        return losses.mean()

    attack = ATTACKS.get("apgd")(objective=OBJECTIVE, steps=20)
    ours, theirs, clean = means_over_seeds(make_problem, trained, classifier_of, attack, run, norm, eps)
    assert theirs > clean + 1
    assert ours >= theirs - 0.02 * (theirs - clean)
