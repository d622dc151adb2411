import pytest

from benchmark.core.code import code_shape

SAME = [
    ("x = 1", "# one\nx = 1  # two\n"),
    ("x = 'a'", 'x = "a"'),
    ("x = 'a'", "x = u'a'"),
    ('def f():\n    """Words."""\n    return 1', "def f():\n    return (\n        1\n    )"),
    ('class A:\n    x = 1\n    """Of x."""', "class A:\n    x = 1"),
    ("    def f(self):\n        return 1", "    def f(self):\n\n        return 1"),
]
OTHER = [
    ("x = 1", "x = 2"),
    ("x = 1", "x = 1.0"),
    ("x = 1", "x = True"),
    ("x = 1", "y = 1"),
    ("x: int = 1", "x: float = 1"),
    ("f('words')", "f('other words')"),
    ("x = None", "x = 'None'"),
    ("f(a)", "f(*a)"),
    ("[a, b]", "[b, a]"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_words_and_format_are_no_code(one, other):
    assert code_shape(one) == code_shape(other)


@pytest.mark.parametrize(("one", "other"), OTHER)
def test_everything_else_is(one, other):
    assert code_shape(one) != code_shape(other)
