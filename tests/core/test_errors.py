import pickle

import pytest

from benchmark.core.errors import (
    AttackError,
    BenchmarkError,
    CheckpointError,
    TrainingError,
    UsageError,
    unknown_name,
)


def test_unknown_name_lists_the_valid_names_in_order():
    assert str(unknown_name("attack", "pdg", ["pgd", "fgsm"])) == (
        "Unknown attack 'pdg'. Did you mean 'pgd'? Valid: fgsm, pgd."
    )


@pytest.mark.parametrize("kind", [BenchmarkError, UsageError, TrainingError, AttackError, CheckpointError])
def test_an_error_is_one_line_and_travels_between_processes(kind):
    error = kind("first line:\n  second line")
    assert isinstance(error, BenchmarkError)
    assert str(error) == "first line: second line"
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
