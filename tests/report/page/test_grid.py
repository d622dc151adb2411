from math import nan

from benchmark.report.escapes import NONE
from benchmark.report.page.grid import Column, Grid, Line, Value, choices, exact, number, plain, spec


def test_a_number_keeps_all_its_digits_beside_what_is_shown():
    value = number("81.8", 0.8183823529411764, "exact", bar=0.8183823529411764)
    assert (value.key, value.width, exact(1 / 3)) == ("0.8183823529411764", "0.818", "0.3333333333333333")
    assert number("-7.6", -0.076, bar=-0.076).width == "0.000"  # a bar does not leave its cell
    missing = number(NONE, nan, "exact: nan")
    assert (missing.key, missing.width, missing.detail) == ("", "", "")


def test_text_is_one_line_without_control_characters():
    assert plain(" a\n b\x1b[31m") == Value("a b\\x1b[31m")
    assert plain("") == Value(NONE) and spec("") == Value(NONE)
    assert spec("pgd").is_code


def test_choices_are_numbers_in_order_or_as_the_tables_are():
    def grid(name, values, **setting):
        return Grid("g", "", [Column(name, name)], [Line([value]) for value in values], setting=setting)

    eps = [number("0.2", 0.2), Value(NONE, nan), number("8/255", 8 / 255)]
    assert choices([grid("eps", eps), grid("x", [], eps="0.2")], "eps") == ["8/255", "0.2"]
    names = [Value("b"), Value("a"), Value("b")]
    assert choices([grid("dataset", names), grid("x", [], dataset="c")], "dataset") == ["b", "a", "c"]
    assert choices([grid("dataset", names)], "compute") == []
