import pytest

from benchmark.report.display_names import DisplayNames, abbreviate

from .fake_run import FakeRun
from .own_models import FOLDER, HOME, MY_MODEL, SHORT_NAMES, TRANSFER, models_alone


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["glyphs"], ["glyphs"]),
        (["sop[size=64]", "glyphs"], ["sop", "glyphs"]),
        (["sop[size=64]", "sop"], ["sop[size=64]", "sop"]),
        (["sop[grey=true,size=32]", "sop[grey=true,size=64]"], ["sop[size=32]", "sop[size=64]"]),
        (["sop[a=x[b=1,c=2],d=3]", "sop[a=x[b=1,c=3],d=3]"], ["sop[a=x[b=1,c=2]]", "sop[a=x[b=1,c=3]]"]),
        (["odd [1] name"], ["odd [1] name"]),
    ],
)
def test_abbreviations_keep_only_parameters_that_differ(names, expected):
    assert abbreviate(names) == dict(zip(names, expected, strict=True))


def test_names_of_a_run(tmp_path):
    spec = "folder:/home/me/birds[size=32]"
    manifest = FakeRun(datasets=(spec, "glyphs"), short_names={spec: "birds[size=32]"}).write(tmp_path)
    names = DisplayNames(manifest)
    assert (names.short(spec), names.brief(spec)) == ("birds[size=32]", "birds")
    assert names.short("glyphs") == names.brief("glyphs") == "glyphs"
    assert names.short("never seen[a=1]") == names.brief("never seen[a=1]") == "never seen[a=1]"


def test_names_of_one_kind_that_are_alike_are_numbered(tmp_path):
    first, second, third = "/a/net.py:make", "/b/net.py:make", "net.py:make"
    short = dict.fromkeys((first, second, third), "net.py:make")
    manifest = FakeRun(weakness=dict.fromkeys(short, 0.5), short_names=short).write(tmp_path)
    names = DisplayNames(manifest)
    assert [names.short(spec) for spec in short] == [f"net.py:make ({number})" for number in (1, 2, 3)]


def test_sentences_have_short_names_and_no_other_paths(tmp_path):
    names = DisplayNames(models_alone().write(tmp_path))
    text = names.sentence(f"{TRANSFER} is weaker than {MY_MODEL}; see '{HOME}/my notes/a.txt'")
    assert text == f"{SHORT_NAMES[TRANSFER]} is weaker than {SHORT_NAMES[MY_MODEL]}; see 'a.txt'"


def test_a_setting_leaves_out_what_does_not_apply(tmp_path):
    names = DisplayNames(models_alone().write(tmp_path))
    assert names.setting(FOLDER, "none", "none") == ["birds[pool=all,size=32]"]


def test_names_that_differ_only_in_their_unicode_form_are_numbered(tables_of):
    composed, decomposed = "caf\u00e9", '"cafe\u0301"'.strip('"')
    run, _ = tables_of(FakeRun(weakness={composed: 0.5, decomposed: 0.5, "AT": 0.5, "at": 0.5}))
    shown = {run.names.short(name) for name in (composed, decomposed)}
    assert len(shown) == 2 and any(name.endswith(" (2)") for name in shown)
    assert [run.names.short(name) for name in ("AT", "at")] == ["AT", "at"]
