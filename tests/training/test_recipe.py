import pytest

from benchmark.training import Recipe


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0},
        {"batch_size": 3},
        {"lr": 0},
        {"ramp": 1.5},
        {"shift": -1},
        {"eps": -0.1},
        {"eps": 8},
        {"epoch": 3},
    ],
    ids=str,
)
def test_a_wrong_value_is_rejected_by_the_name_of_its_parameter(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Recipe(**wrong)


def test_eps_may_be_a_fraction():
    assert Recipe(eps="8/255").eps == 8 / 255
