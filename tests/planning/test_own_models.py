"""Own models in a grid."""

import sys

import pytest
from PIL import Image

from benchmark.core.child_process import forkable
from benchmark.core.errors import BenchmarkError, UsageError
from benchmark.data import Folders
from benchmark.planning.grid import build_grid
from benchmark.planning.resolve import resolve
from defenses import DEFENSES
from defenses.vanilla import Vanilla

from ..models.own.networks import SOURCE

TRANSFER = "transfer[attack=fgsm[objective=own]]"


@pytest.fixture
def nets(tmp_path):
    (tmp_path / "nets.py").write_text(SOURCE)
    return f"{tmp_path}/nets.py"


@pytest.fixture
def make(tmp_path):
    def make(**arguments):
        given = {"datasets": "digits", "attacks": "noise", "checks": False, **arguments}
        return build_grid(resolve(given), Folders(tmp_path, tmp_path))

    return make


def folder(path):
    for name in "abcd":
        (path / name).mkdir(parents=True)
        for number in range(3):
            Image.new("L", (40, 40), 20 * number + ord(name)).save(path / name / f"{number}.png")
    return f"folder:{path}[grey=true,linf=8/255]"


def test_every_folder_is_read_at_the_size_that_the_models_take(make, nets, tmp_path):
    paths = [folder(tmp_path / "first"), folder(tmp_path / "second")]
    made = make(models=[f"{nets}:make_model[size=36]"], datasets=" ".join(paths))
    assert [dataset.seen_shape(Folders(tmp_path, tmp_path)) for dataset in made.datasets] == [(1, 36, 36)] * 2


def test_a_size_that_a_folder_s_spec_gives_stays(make, nets, tmp_path):
    spec = folder(tmp_path / "first").replace("]", ",size=20]")
    (dataset,) = make(models=[f"{nets}:make_model[size=36]"], datasets=spec).datasets
    assert dataset.seen_shape(Folders(tmp_path, tmp_path)) == (1, 20, 20)


def test_models_alone_are_planned_once_whatever_the_seeds(make, nets):
    made = make(models=[f"{nets}:make_model"], seeds="3 1 2")
    assert sorted((model.job.key.defense, model.job.key.seed) for model in made.models) == [
        (f"{nets}:make_model", 1),
        ("pixels", 1),
    ]
    assert {model.compute for model in made.models} == {"none"}


def test_transferred_attacks_are_made_on_an_own_model(make, nets):
    one, two = f"{nets}:make_model", f"{nets}:make_model[dim=5]"
    made = make(models=[one, two], attacks=TRANSFER)
    sources = {
        planned.job.key.defense: planned.job.source.key.defense
        for planned in made.attacks
        if planned.job.source is not None
    }
    assert sources == {one: two, two: one, "pixels": one}


def test_it_is_said_only_where_such_attacks_are_planned(make, nets):
    alone = [f"{nets}:make_model"]
    assert not any("transferred" in reason for reason in make(models=alone).left_out())
    reasons = make(models=alone, attacks=f"noise {TRANSFER}").left_out()
    assert "transferred attacks on nets.py:make_model: there is no other model to make them on" in reasons


def test_nothing_is_trained_on_a_pool_of_all_classes(make):
    with pytest.raises(UsageError, match=r"Nothing can be trained on 'digits\[pool=all\]'"):
        make(defenses="vanilla", datasets="digits[pool=all]")


ENDS = """
import os
from torch import nn

class Ends(nn.Module):
    def forward(self, images):
        os._exit(0)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="children are forked on Linux")
def test_a_model_that_ends_its_process_is_named_in_one_line(make, tmp_path):
    (tmp_path / "ends.py").write_text(ENDS)
    reason = r"^ends.py:Ends cannot be evaluated: its process ended \(exit code 0\)\.$"
    with forkable(), pytest.raises(BenchmarkError, match=reason):
        make(models=[f"{tmp_path}/ends.py:Ends"])


def test_every_data_set_that_is_there_is_taken(make, nets):
    made = make(models=[f"{nets}:make_model"], datasets="all")
    assert {"digits", "glyphs"} <= {dataset.name for dataset in made.datasets}
    assert any(reason.startswith("data set folder: ") for reason in made.left_out())


def test_a_model_is_known_by_patterns_that_no_data_set_changes(make, nets):
    def weights(**changes):
        made = make(models=[f"{nets}:make_model[size=12]"], **changes)
        return next(model.job.weights for model in made.models if model.job.weights)

    few, all_of_them = weights(datasets="glyphs[classes=8,per_class=4]"), weights(datasets="glyphs")
    assert few == all_of_them and len(few.split()) > 5


def test_an_own_model_that_others_are_trained_from_is_one_model(make, nets, monkeypatch):
    monkeypatch.setattr(DEFENSES, "_entries", dict(DEFENSES._entries))
    own = f"{nets}:make_model"

    @DEFENSES.register("starts_from_own")
    class StartsFromOwn(Vanilla):
        """Needs an own model."""

        needs = (own,)

        def build(self, make_member, labels, trained):
            return make_member()

    made = make(models=[own], defenses="starts_from_own", datasets="glyphs[classes=16,per_class=6]")
    assert len({model.job.id for model in made.models if model.job.key.defense == own}) == 1
