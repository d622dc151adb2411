import pytest

from benchmark.report.style import format_eps, shown, slug


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("glyphs", "glyphs"),
        ("sop[size=64]", "sop[size=64]"),
        ("folder:/home/me/birds", "folder:birds"),
        ("folder:data/birds[linf=8/255,size=32]", "folder:birds[linf=8/255,size=32]"),
        (
            "folder[path=/a b/birds,train_classes=~/lists/train.txt]",
            "folder[path=birds,train_classes=train.txt]",
        ),
        (
            "resnet18[dim=64,pretrained=/weights/r18.safetensors]",
            "resnet18[dim=64,pretrained=r18.safetensors]",
        ),
        ("x[a=-8/255]", "x[a=-8/255]"),
        ("folder:C:\\data\\birds", "folder:birds"),
    ],
)
def test_a_reader_is_not_shown_the_way_to_a_file(spec, expected):
    assert shown(spec) == expected


def test_figures_of_folders_of_one_name_have_names_of_their_own():
    names = {slug(f"folder:/{way}/birds", "smallconv") for way in ("a", "b")}
    assert len(names) == 2
    assert all(name.startswith("folder-birds_smallconv-") for name in names)
    assert slug("glyphs", "smallconv") == "glyphs_smallconv"
    assert slug("glyphs[size=8]", "x" * 100) != slug("glyphs[size=8]", "x" * 101)


@pytest.mark.parametrize("eps", [0.1, 8 / 255, 1 / 3, 3.0, 1e-7, 0.0313725])
def test_a_budget_reads_back_as_the_same_number(eps):
    text = format_eps(eps)
    above, _, below = text.partition("/")
    assert float(above) / float(below or 1) == eps
