"""Runs every snippet and command of the guides in docs/extend/."""

import importlib
import inspect
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from matplotlib import image

from benchmark.cli import main
from benchmark.core.transfer import to_device
from benchmark.models import Ensemble, frozen
from benchmark.training import TrainingAttack

from ..report.fake_run import FakeRun
from .guide import GUIDES, Guide

PLUGINS = [(guide, file) for guide in GUIDES for file in guide.plugins]
NAMES = [f"{guide.name}-{file}" for guide, file in PLUGINS]
SLOW = pytest.mark.slow
TESTED = [
    pytest.param(guide, marks=SLOW if guide.name in ("defense", "optimiser") else ()) for guide in GUIDES
]


def write(guide, folder):
    """Writes the files of a guide into a folder, and the results that it draws."""
    for file, text in guide.files.items():
        (folder / file).write_text(text, encoding="utf-8")
    if guide.name == "figure":
        FakeRun().write(folder / "results")


@pytest.mark.slow
@pytest.mark.usefixtures("without_figures")
@pytest.mark.parametrize(("guide", "file"), PLUGINS, ids=NAMES)
def test_the_commands_of_a_plugin_give_rows(workplace, guide, file):
    (workplace / file).write_text(guide.plugins[file], encoding="utf-8")
    runs = guide.runs_of(file)
    for arguments in runs:
        assert main([*arguments, "--config", "tiny.yaml", "--output", "out", "--no-progress"]) == 0
        cells = pd.read_csv("out/cells.csv")
        assert set(cells["status"]) == {"done"}
        if guide.name == "check":
            results = [path.read_text() for path in (workplace / "out" / "store" / "checks").iterdir()]
            assert results
            assert all(f'"{file.removesuffix(".py")}"' in text for text in results)
        else:
            setting = cells[["dataset", "backbone", "loss", "defense", "attack"]]
            assert setting.map(lambda name: file.removesuffix(".py") in name).any(axis=None)


@pytest.mark.slow
@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.name)
def test_the_other_commands_succeed(workplace, guide, capsys):
    write(guide, workplace)
    others = [arguments for arguments in guide.commands if "--plugin" not in arguments]
    for arguments in others:
        assert main(arguments) == 0, capsys.readouterr().out
    checked = {part for arguments in others if "--check-plugin" in arguments for part in arguments}
    assert set(guide.plugins) <= checked


@pytest.mark.parametrize("guide", TESTED, ids=lambda guide: guide.name)
def test_the_tests_of_a_guide_pass(workplace, guide):
    write(guide, workplace)
    for number, text in enumerate(guide.tests):
        (workplace / f"test_guide_{number}.py").write_text(text, encoding="utf-8")
        module = importlib.import_module(f"test_guide_{number}")
        found = [value for name, value in vars(module).items() if name.startswith("test_")]
        assert found
        for function in found:
            for arguments in _calls(function, workplace):
                function(*arguments)


def _calls(function, workplace):
    """The arguments of each call that pytest would make."""
    if "tmp_path" in inspect.signature(function).parameters:
        return [(workplace,)]
    for mark in getattr(function, "pytestmark", ()):
        return mark.args[1]
    return [()]


def test_the_fragments_of_the_guide_to_defenses(make_member, images):
    gives, builds_ensemble, builds_centers, divides, embeds = Guide("defense").fragments
    names = {"torch": torch, "Ensemble": Ensemble, "frozen": frozen, "to_device": to_device}
    exec(builds_ensemble, names)
    assert len(names["build"](None, make_member, images.labels).members) == 3
    exec(builds_centers, names)
    member = names["build"](None, make_member, images.labels).train()
    assert member.centers.shape == (12, 8)
    _trains_on_parts(divides, names, make_member, images)
    statistics = {name: value.clone() for name, value in member.named_buffers()}
    exec(embeds, names | {"member": member, "batch": type("Batch", (), {"images": images.images[:4]})}, names)
    assert names["clean"].shape == (4, 8)
    assert not names["clean"].requires_grad
    assert all(torch.equal(value, statistics[name]) for name, value in member.named_buffers())
    assert member.training
    _gives_tensors(gives, make_member(), images)


def _gives_tensors(gives, member, images):
    batch = SimpleNamespace(images=images.images[:6], labels=images.labels[:6])
    names = {"attack": TrainingAttack(0.1, 2, 0.5), "member": member, "batch": batch}
    exec(gives, names)
    assert names["adversarial"].shape == batch.images.shape
    assert not torch.equal(names["adversarial"], batch.images)


def _trains_on_parts(divides, names, make_member, images):
    names = dict(names)
    exec(divides, names)
    model = names["build"](None, make_member, images.labels)
    strata = names["strata"](None, model)
    assert strata.shape == images.labels.shape and set(strata.tolist()) == {0, 1}
    batch = SimpleNamespace(images=images.images[:6], labels=images.labels[:6], strata=strata[:6])
    assert names["loss"](None, model, batch, None).isfinite()


def test_the_script_of_the_guide_to_figures(workplace):
    guide = Guide("figure")
    write(guide, workplace)
    (script,) = guide.fragments
    exec(script, {})
    pixels = image.imread("ami_vs_r1.png")
    assert pixels[..., :3].std() > 0.02


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.name)
def test_every_guide_has_its_parts(guide):
    for heading in ("## The contract", "## Test it", "## What the benchmark checks", "## Pitfalls"):
        assert f"\n{heading}\n" in guide.text, heading
    for file, text in guide.plugins.items():
        assert len(text.splitlines()) <= 45, file
        assert guide.runs_of(file), f"no command runs {file}"
    # The tests above run exactly these.
    assert len(guide.fragments) == {"defense": 5, "figure": 1}.get(guide.name, 0)
    assert guide.files
