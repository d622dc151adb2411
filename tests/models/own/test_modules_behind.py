import functools

import pytest
from torch import nn

from benchmark.models.own.modules_behind import modules_behind

NET = nn.Linear(1, 1)


def by_global_name(images):
    return NET(images)


def through_another(images):
    return by_global_name(images)


def by_argument(module, images):
    return module(images)


def endless(images):
    return endless(images)


def closure():
    inner = NET
    return lambda images: inner(images)


@pytest.mark.parametrize(
    "model",
    [
        NET,
        NET.forward,
        closure(),
        by_global_name,
        through_another,
        functools.partial(by_argument, NET),
        functools.partial(by_argument, module=NET),
    ],
)
def test_finds_the_module(model):
    assert set(modules_behind(model)) == {NET}


@pytest.mark.parametrize("model", [len, endless, "text", lambda images: images])
def test_finds_none(model):
    assert list(modules_behind(model)) == []
