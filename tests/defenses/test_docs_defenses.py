"""Compares docs/defenses.md with the classes: names, sources, parameters, defaults, choices."""

import re
from pathlib import Path
from typing import Literal, get_args, get_origin

import pytest
import torch

from benchmark.core.spec import format_spec, format_value
from benchmark.training import Recipe
from defenses import DEFENSES, GROUPS, Defense
from defenses.transforms import TRANSFORMS
from defenses.triplets import TripletDefense

DOCUMENT = (Path(__file__).resolve().parents[2] / "docs" / "defenses.md").read_text(encoding="utf-8")
SECTIONS = {
    heading.strip("`"): text
    for heading, text in re.findall(r"^### (\S+)\n(.*?)(?=^##|\Z)", DOCUMENT, re.MULTILINE | re.DOTALL)
}
OWN = {name: cls for name, cls in DEFENSES.items() if cls.__module__.startswith("defenses.")}
TRANSFORMS_HERE = {name: cls for name, cls in TRANSFORMS.items() if cls.__module__.startswith("defenses.")}


def arxiv_ids(text):
    return set(re.findall(r"\b\d{4}\.\d{5}\b", text or ""))


def parameters(cls, base=Defense):
    return {key: field for key, field in cls.model_fields.items() if key not in base.model_fields}


def full_spec(cls, base=Defense):
    return format_spec(cls.name, {key: field.default for key, field in parameters(cls, base).items()})


def rows(*columns):
    """Rows of the table with these columns at its beginning, cells stripped; of all such tables."""
    found, inside = [], False
    for line in DOCUMENT.splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if tuple(cells[: len(columns)]) == columns:
            inside = True
        elif not cells:
            inside = False
        elif inside and not set(cells[0]) <= {"-"}:
            found.append(cells)
    return found


def test_every_defense_has_a_row_and_a_section_and_nothing_else_has():
    table = [row[0].strip("`") for row in rows("defense", "training minimizes")]
    assert sorted(table) == sorted(OWN)
    assert set(SECTIONS) == {*OWN, "Transforms", "Triplets"}


@pytest.mark.parametrize("name", OWN)
def test_sources_are_those_of_the_docstring(name):
    assert arxiv_ids(SECTIONS[name]) == arxiv_ids(OWN[name].__doc__)


@pytest.mark.parametrize("name", OWN)
def test_defaults_are_those_of_the_class(name):
    wanted = [full_spec(OWN[name])] if parameters(OWN[name]) else []
    assert re.findall(r"^Defaults: `(.*?)`", SECTIONS[name], re.MULTILINE) == wanted
    assert (not wanted) == ("no parameters" in SECTIONS[name].lower())


@pytest.mark.parametrize("name", OWN)
def test_every_parameter_and_every_choice_is_explained(name):
    cls = OWN[name]
    text = SECTIONS[name] + (SECTIONS["Triplets"] if issubclass(cls, TripletDefense) else "")
    bullets = set(re.findall(r"^- `(\w+)`:", text, re.MULTILINE))
    wanted = set(parameters(cls))
    assert bullets == wanted
    for key in wanted:
        annotation = cls.model_fields[key].annotation
        for value in get_args(annotation) if get_origin(annotation) is Literal else ():
            assert re.search(rf"`(?:{key}=)?{value}`", text), f"{name}: {key}={value} is not explained"


@pytest.mark.parametrize("name", OWN)
def test_tuned_parameters_and_adaptive_attacks_are_named(name):
    listed = re.search(r"\bTuned: (.*?)\.$", SECTIONS[name], re.MULTILINE)
    tuned = set(re.findall(r"`(\w+)`", listed.group(1))) if listed else set()
    assert tuned == set(OWN[name].tunable)
    for attack in OWN[name].adaptive:
        assert f"`{attack}`" in SECTIONS[name]


def test_transforms_are_those_registered():
    table = {row[0].strip("`"): row for row in rows("transform", "random")}
    named = {full_spec(cls, TRANSFORMS.base): cls for cls in TRANSFORMS_HERE.values()}
    assert set(table) == set(named)
    for spec, cls in named.items():
        _, random, gradient, source = table[spec]
        assert (random == "yes") == cls.randomised, spec
        assert (gradient == cls.stand_in) == (not cls.differentiable), spec
        assert arxiv_ids(source) == arxiv_ids(cls.__doc__), spec


def test_the_recipe_is_the_one_in_use():
    table = {row[0].strip("`"): row[1] for row in rows("recipe", "default")}
    assert table == {key: format_value(field.default) for key, field in Recipe.model_fields.items()}


def test_groups_are_as_documented():
    sentence = re.search(r"^On the command line .*?(?=\n\n)", DOCUMENT, re.MULTILINE | re.DOTALL).group(0)
    assert [row[0].strip("`") for row in rows("defense", "training minimizes")][:7] == list(GROUPS["all"])
    for group in GROUPS:
        assert f"`{group}`" in sentence
    for name in (*GROUPS["controls"], *GROUPS["dml"]):
        assert f"`{name}`" in sentence


@pytest.mark.parametrize("name", sorted(set(OWN) - {"pixels"}))
def test_the_table_of_training_attacks_holds_what_attacks(name, make_member, batch, recorder):
    listed = " ".join(row[0] for row in rows("defense", "maximized by the attack"))
    spec, *more = re.findall(rf"`({name}(?:\[.*?\])?)`", listed) or [name]
    assert not more
    for text in {name, spec}:
        defense = DEFENSES.build(text)
        trained = {needed: make_member() for needed in defense.needs}
        member = defense.build_from(make_member, torch.arange(12).repeat_interleave(8), trained)
        recorder.calls.clear()
        defense.loss(member, batch, recorder)
        assert bool(recorder.calls) == (f"`{text}`" in listed), text
        assert all((call[3] == "gaussian") == (name == "trades") for call in recorder.calls)
