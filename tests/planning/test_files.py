"""Files that parameters name: their contents are part of identities, their paths are not."""

import sys

import pytest

from attacks import ATTACKS, OBJECTIVES
from benchmark.core.errors import UsageError
from benchmark.evaluation import SCENARIOS
from benchmark.jobs.models import portable
from benchmark.losses import LOSSES
from benchmark.plugins.load import load_plugin
from defenses import DEFENSES

from .plans import ids, plan

PLUGIN = '''
"""One of each kind that reads a file."""
from attacks import ATTACKS, OBJECTIVES
from benchmark.core.parameters import File
from benchmark.evaluation import SCENARIOS
from benchmark.losses import LOSSES
from defenses import DEFENSES

@DEFENSES.register("with_file")
class WithFile(DEFENSES.get("vanilla")):
    """Plain training."""
    weights: File | None = None

@LOSSES.register("with_file")
class LossWithFile(LOSSES.get("triplet")):
    """Triplets."""
    weights: File | None = None

@ATTACKS.register("with_file")
class AttackWithFile(ATTACKS.get("noise")):
    """Noise."""
    weights: File | None = None

@OBJECTIVES.register("with_file")
class ObjectiveWithFile(OBJECTIVES.get("own")):
    """The own embedding."""
    weights: File | None = None

@SCENARIOS.register("with_file")
class ScenarioWithFile(SCENARIOS.get("retrieval-query")):
    """Retrieval."""
    weights: File | None = None
'''


@pytest.fixture
def readers(tmp_path, monkeypatch):
    (tmp_path / "reading_plugin.py").write_text(PLUGIN)
    (tmp_path / "w.pth").write_text("old")
    load_plugin(tmp_path / "reading_plugin.py")
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    sys.modules.pop("plugin_reading_plugin", None)
    for registry in (DEFENSES, LOSSES, ATTACKS, OBJECTIVES, SCENARIOS):
        registry.forget("with_file")


def trainings(made):
    return {model.job.id for model in made.models if not DEFENSES.build(model.job.key.defense).reference}


@pytest.mark.parametrize("part", ["defenses", "losses"])
def test_a_training_is_another_one_when_a_file_changes(readers, part):
    asked = {part: "with_file[weights=w.pth]"}
    before = plan(readers, **asked)
    assert ids(plan(readers, **asked)) == ids(before)
    (readers / "w.pth").write_text("new")
    after = plan(readers, **asked)
    assert trainings(before).isdisjoint(trainings(after))
    (readers / "w.pth").rename(readers / "v, 2.pth")
    moved = plan(readers, **{part: 'with_file[weights="v, 2.pth"]'})
    assert ids(moved) == ids(after)


@pytest.mark.parametrize(
    ("part", "spec"),
    [
        ("attacks", "with_file[weights=w.pth]"),
        ("attacks", "pgd[objective=with_file[weights={folder}/w.pth]]"),
        ("attacks", "transfer[attack=pgd[objective=with_file[weights={folder}/w.pth]],source=pgd_at]"),
        ("scenarios", "with_file[weights=w.pth]"),
    ],
)
def test_a_cell_is_another_one_when_a_file_changes(readers, part, spec):
    asked = {part: spec.format(folder=readers)}
    before = plan(readers, **asked)
    (readers / "w.pth").write_text("new")
    after = plan(readers, **asked)
    assert trainings(before) == trainings(after)
    changed = {cell.id for cell in after.cell_refs() if part == "scenarios" or cell.key.attack != "none"}
    assert changed and changed.isdisjoint(ids(before))


def test_seeds_hold_no_path(readers):
    key = plan(readers, defenses="with_file[weights=w.pth]").models[0].job.key
    assert str(readers) in key.defense and str(readers) not in portable(key).defense


def test_a_missing_file_stops_the_planning(readers):
    with pytest.raises(UsageError, match=r"with_file: weights='.*/gone\.pth': there is no such file\."):
        plan(readers, defenses="with_file[weights=gone.pth]")
