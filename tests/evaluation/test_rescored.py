"""The check that images are embedded again as they were scored."""

import numpy as np
import pytest

from benchmark.evaluation import CHECKS, CheckInput, ScoredAttack, ScoredClean

ATTACK = "pgd[objective=neighbour]"


def result(found, model=None):
    success = (np.arange(100) < 50).astype(np.float32)
    attack = ScoredAttack(ATTACK, "white", 0.1, 0.5, success, diagnostics={"rescored_r1": 0.5, **found})
    clean = ScoredClean(0.5, success)
    return CHECKS.build("rescored").run(CheckInput(0.1, model=model or {}, clean=clean, attacks=(attack,)))


@pytest.mark.parametrize(("difference", "expected"), [(0.0, "pass"), (1e-4, "pass"), (2e-4, "fail")])
def test_embeddings_of_attacked_and_of_clean_images_must_be_the_same(difference, expected):
    found = {"rescored_difference": difference, "rescored_allowed": 1e-4}
    assert result(found).status == result({}, found).status == expected
    if expected == "fail":
        assert result(found).explanation.startswith(f"two embeddings of images under {ATTACK} at eps 0.1 in")
        assert "of clean images in other batches differ by up to 0.0002" in result({}, found).explanation


def test_half_precision_may_differ_by_more():
    assert result({"rescored_difference": 5e-3, "rescored_allowed": 1e-2}).status == "pass"


@pytest.mark.parametrize(("difference", "expected"), [(1e-5, "pass"), (0.3, "fail")])
def test_a_process_that_has_nothing_else_must_find_the_same_embeddings(difference, expected):
    found = result({"isolated_difference": difference, "rescored_allowed": 1e-4})
    assert found.status == expected
    if expected == "fail":
        assert "embedded by a process that has nothing else differ by up to 0.3" in found.explanation


@pytest.mark.parametrize(
    ("difference", "error", "expected"),
    [(0.01, 0.0, "pass"), (-0.1, 0.001, "fail"), (0.1, 0.03, "pass"), (0.1, 0.001, "fail")],
)
def test_r1_of_a_randomised_model_has_the_tolerance_of_its_repeats(difference, error, expected):
    found = {"isolated_r1": difference, "isolated_error": error, "rescored_passes": 5.0}
    assert result(found).status == expected
