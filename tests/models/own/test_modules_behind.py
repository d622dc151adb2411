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


class Holder:
    """Holds the module, and is no callable itself."""

    def __init__(self, held=NET):
        self.net = held

    def embed(self, images):
        return self.net(images)


class Slots:
    __slots__ = ("net",)

    def __init__(self):
        self.net = NET

    def embed(self, images):
        return self.net(images)


class CallsItself:
    def embed(self, images):
        return self.inner(images)

    def inner(self, images):
        return NET(images)


class Calls:
    def __call__(self, images):
        return NET(images)


HOLDER = Holder()
NETS = {"a": [NET]}


def by_attribute(images):
    return HOLDER.net(images)


def by_entry(images):
    return NETS["a"][0](images)


def by_default(images, net=NET):
    return net(images)


@pytest.mark.parametrize(
    "model",
    [
        NET,
        HOLDER.embed,
        Holder({"net": (NET,)}).embed,
        Calls(),
        Slots().embed,
        CallsItself().embed,
        by_attribute,
        by_entry,
        by_default,
        NET.forward,
        closure(),
        by_global_name,
        through_another,
        functools.partial(by_argument, NET),
        functools.partial(by_argument, module=NET),
    ],
)
def test_finds_the_module(model):
    assert list(modules_behind(model)) == [NET]


def test_does_not_look_through_data():
    data = [NET] * 2000
    assert list(modules_behind(lambda images: data)) == []


@pytest.mark.parametrize("model", [len, endless, "text", lambda images: images])
def test_finds_none(model):
    assert list(modules_behind(model)) == []
