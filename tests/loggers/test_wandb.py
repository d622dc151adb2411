import sys
from types import ModuleType, SimpleNamespace

import pytest

from benchmark.core.errors import UsageError
from benchmark.loggers import LOGGERS, log_cell, log_training

from .records import CELL_TAG, MODEL_TAG, cell, training


class FakeRun:
    def __init__(self):
        self.logged, self.summary, self.metrics, self.finished = [], {}, [], False

    def log(self, values):
        self.logged.append(values)

    def define_metric(self, name, step_metric):
        self.metrics.append((name, step_metric))

    def finish(self):
        self.finished = True


@pytest.fixture
def wandb(monkeypatch):
    """Stands in for the package."""
    module = ModuleType("wandb")
    module.__spec__ = SimpleNamespace(origin="/somewhere/wandb/__init__.py")
    module.run, module.asked = FakeRun(), []
    module.Settings = lambda **given: given
    module.init = lambda **given: module.asked.append(given) or module.run
    monkeypatch.setitem(sys.modules, "wandb", module)
    return module


def test_offline_without_an_account_unless_asked(wandb, tmp_path):
    LOGGERS.build("wandb").check()
    LOGGERS.build("wandb").open(tmp_path, {"seeds": [0]})
    LOGGERS.build("wandb[mode=online,project=mine]").open(tmp_path, {})
    first, second = wandb.asked
    assert (first["mode"], first["project"]) == ("offline", "dml-robustness")
    assert (second["mode"], second["project"]) == ("online", "mine")
    assert first["dir"] == str(tmp_path)
    assert first["config"] == {"seeds": [0]}
    assert first["settings"] == {"silent": True, "console": "off"}


def test_curves_are_over_epochs_and_metrics_in_the_summary(wandb, tmp_path):
    writer = LOGGERS.build("wandb").open(tmp_path, {})
    log_training(training(), writer)
    log_cell(cell(), writer)
    writer.close()
    assert wandb.run.metrics == [("*", "epoch")]
    assert wandb.run.logged[:2] == [
        {f"{MODEL_TAG}/loss": 0.9, "epoch": 1},
        {f"{MODEL_TAG}/loss": 0.5, "epoch": 2},
    ]
    assert wandb.run.summary[f"{CELL_TAG}/r1"] == 0.75
    assert wandb.run.finished


def test_a_run_that_cannot_be_started_is_one_line(wandb, tmp_path):
    def refuse(**given):
        raise RuntimeError("api_key not configured\n(no-tty)")

    wandb.init = refuse
    with pytest.raises(UsageError) as caught:
        LOGGERS.build("wandb[mode=online]").open(tmp_path, {})
    assert str(caught.value) == (
        "--log wandb[mode=online] cannot start a run: RuntimeError: api_key not configured (no-tty)"
    )


def test_a_package_that_is_missing_is_one_line_with_the_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(UsageError) as caught:
        LOGGERS.build("wandb").check()
    assert str(caught.value) == (
        "--log wandb: the package wandb is not installed. Install it: "
        'python -m pip install "dml-robustness-benchmark[wandb]"'
    )


def test_a_folder_of_that_name_is_no_package(monkeypatch, tmp_path):
    (tmp_path / "wandb").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "wandb", raising=False)
    import importlib.util

    found = importlib.util.find_spec("wandb")
    if found is not None and found.origin is not None:
        pytest.skip("wandb is installed here")
    with pytest.raises(UsageError, match="not installed"):
        LOGGERS.build("wandb").check()


def test_a_mode_that_there_is_not():
    with pytest.raises(UsageError, match="'offline' or 'online'"):
        LOGGERS.build("wandb[mode=cloud]")
