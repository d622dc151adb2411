import sys

import pytest

from benchmark.core.errors import UsageError
from benchmark.planning.resolve import resolve
from benchmark.runner.executors import EXECUTORS, LocalExecutor, RayExecutor, make_executor


def make(**given):
    return make_executor(resolve(given))


def test_the_local_executor_is_the_default():
    assert isinstance(make(), LocalExecutor)


def test_an_address_goes_to_the_executor_that_has_a_cluster():
    executor = make(executor="ray[memory=2]", ray_address="10.0.0.1:6379")
    assert isinstance(executor, RayExecutor)
    assert (executor.address, executor.memory) == ("10.0.0.1:6379", 2.0)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"executor": "slurm"}, r"Unknown executor 'slurm'. Valid: local, ray\."),
        ({"executor": "ray[memory=0]"}, "ray: memory='0': input should be greater than 0"),
        ({"ray_address": "10.0.0.1:6379"}, "has no effect with --executor local; use --executor ray"),
    ],
)
def test_a_wrong_executor_is_refused(given, reason):
    with pytest.raises(UsageError, match=reason):
        make(**given)


def test_without_ray_one_line_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match="python -m pip install 'ray"):
        EXECUTORS.build("ray").device("auto", dry=True)
