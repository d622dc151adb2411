import random

import numpy as np
import pytest
import torch

from benchmark.core.generators import generator_states, set_generators

CPU = torch.device("cpu")


def draws():
    return random.random(), random.gauss(0, 1), np.random.randn(), np.random.rand(), torch.rand(3).tolist()


@pytest.mark.parametrize("before", [lambda: None, lambda: random.gauss(0, 1), lambda: np.random.randn()])
def test_draws_are_repeated(before):
    before()  # a generator of normal numbers makes two at a time
    states = generator_states(CPU)
    expected = draws()
    assert draws() != expected
    set_generators(states, CPU)
    assert draws() == expected
