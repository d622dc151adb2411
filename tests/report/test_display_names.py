import pytest

from benchmark.report.display_names import DisplayNames, abbreviate

from .fake_run import FakeRun


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
