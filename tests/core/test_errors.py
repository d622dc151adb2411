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


@pytest.mark.parametrize("name", ["b/c", "~x", "b\\c"])
def test_an_unknown_name_that_may_be_part_of_a_path_gets_advice(name):
    assert str(unknown_name("data set", name, ["glyphs"])).endswith(
        """Valid: glyphs. A path with a comma or a space needs double quotes, as in 'folder:"/my, data"'."""
    )


@pytest.mark.parametrize("kind", [BenchmarkError, UsageError, TrainingError, AttackError, CheckpointError])
def test_an_error_is_one_line_and_travels_between_processes(kind):
    error = kind("first line:\n  second line")
    assert isinstance(error, BenchmarkError)
    assert str(error) == "first line: second line"
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
