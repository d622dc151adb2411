import torch.nn.functional as F

from attacks import ATTACKS
from attacks.optimisers.ascent import Ascent
from attacks.optimisers.rules import Steps

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
