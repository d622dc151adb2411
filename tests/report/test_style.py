import pytest

from benchmark.report.style import budget, format_eps, line_styles, slug, wrapped


@pytest.mark.parametrize("eps", [0.05, 0.1, 0.2, 1.0, 3.0, 2 / 255, 8 / 255, 1 / 3, 1e-7, 0.0313725])
def test_a_budget_reads_back_as_the_same_number(eps):
    text = format_eps(eps)
    above, _, below = text.partition("/")
    assert float(above) / float(below or 1) == eps


def test_a_budget_names_its_norm_and_its_unit():
    assert budget("linf", 8 / 255) == "L\u221e 8/255"
    assert [budget("l2", 1.5), budget("l0", 20.0)] == ["L2 1.5", "L0 20 pixels"]


def test_line_styles_differ_even_for_many_defenses():
    names = [f"d{i}" for i in range(20)]
    styles = line_styles(names, ["d0", "d1"])
    assert len(set(styles.values())) == 20
    assert styles == line_styles(reversed(names), ["d1", "d0"])


def test_slugs_and_labels_stay_short_and_distinct():
    assert slug("eat[members=5]") == "eat-members-5"
    long = [slug(f"eat[{'x' * 100}={i}]") for i in range(3)]
    assert slug("glyphs", "smallconv") == "glyphs_smallconv"
    assert slug("glyphs[size=8]", "x" * 100) != slug("glyphs[size=8]", "x" * 101)
    assert len(set(long)) == 3 and max(map(len, long)) <= 80
    assert max(map(len, wrapped("eat[members=5,transfer=peers,split=none]").split("\n"))) <= 24
