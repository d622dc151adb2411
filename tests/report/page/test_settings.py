from dataclasses import replace

from benchmark.report.page.settings import Setting, columns, differing

ONE = Setting("glyphs", "smallconv", "proxy_anchor", "l0", 20.0, "equal epochs")


def test_parts_are_shown_with_their_units():
    assert ONE.fixed == {
        "dataset": "glyphs", "backbone": "smallconv", "loss": "proxy_anchor", "norm": "L0",
        "eps": "20 pixels", "compute": "equal epochs",
    }  # fmt: skip
    assert replace(ONE, norm="linf", eps=8 / 255).value("eps").text == "8/255"
    assert ONE.value("eps").key == "20.0"


def test_parts_that_do_not_apply_are_dashes_and_not_shared():
    clean = replace(ONE, norm=None, eps=None)
    assert clean.value("eps").text == clean.value("norm").text == "\u2013"
    assert "eps" not in clean.fixed


def test_columns_are_those_that_differ():
    names = differing([ONE, replace(ONE, eps=10.0), replace(ONE, dataset="cub")])
    assert names == ["dataset", "eps"]
    assert [(column.title, column.numeric) for column in columns(names)] == [
        ("data set", False),
        ("eps", True),
    ]
    assert differing([ONE]) == differing([]) == []
