"""The reason of a failed job: one line, with the line of the plugin's own file."""

from dataclasses import dataclass

import torch

from benchmark.jobs import RunContext
from benchmark.jobs.job import run_job
from benchmark.records import ModelKey
from benchmark.training.loop import _backward_pass
from defenses.vanilla import Vanilla

KEY = ModelKey(dataset="digits", backbone="smallconv", loss="proxy_anchor", defense="vanilla", seed=0)

PLUGIN = '''
from defenses import DEFENSES, Defense


@DEFENSES.register("failing")
class Failing(Defense):
    """Fails."""

    def loss(self, model, batch, attack):
        return batch[0]
'''


@dataclass
class FakeJob:
    work: object
    id: str = "j1"
    key: ModelKey = KEY

    def execute(self, context):
        return self.work()

    def fail(self, reason, context, status="failed", log=""):
        return reason


def context(folder, *plugins):
    return RunContext(
        output=folder, cache=folder, data=folder, device="cpu", commit="", plugins=plugins, plugin_source=""
    )


def test_the_line_of_a_plugin_is_named(tmp_path, monkeypatch):
    from defenses import DEFENSES

    monkeypatch.setattr(DEFENSES, "_entries", dict(DEFENSES._entries))
    plugin = tmp_path / "failing_defense.py"
    plugin.write_text(PLUGIN)
    monkeypatch.chdir(tmp_path)

    def work():
        DEFENSES.build("failing").loss(None, 3, None)

    reason = run_job(FakeJob(work), context(tmp_path, plugin.relative_to(tmp_path)))
    assert reason == (
        "TypeError: 'int' object is not subscriptable (failing_defense.py, line 10) "
        "(traceback in store/logs/j1.txt)"
    )
    assert "failing_defense.py" in (tmp_path / "store/logs/j1.txt").read_text()


def test_an_error_of_a_backward_pass_names_the_defense(tmp_path):
    def work():
        weight = torch.ones(3, requires_grad=True)
        with _backward_pass(Vanilla()):
            product = weight.exp()
            loss = product.square().sum()
            product.add_(1)
            loss.backward()

    reason = run_job(FakeJob(work), context(tmp_path))
    assert reason.startswith(
        "RuntimeError in the backward pass of vanilla's loss: one of the variables needed"
    )
    assert "\n" not in reason
