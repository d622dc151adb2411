import sys

import pytest

from benchmark.core.code import code_digest, code_shape

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


ENCODED = {
    "byte order mark": "\ufeffx = 1".encode(),
    "latin-1": b"# coding: latin-1\n# \xe9\nx = 1",
    "words": b"# One.\nx = 1\n",
}


@pytest.mark.parametrize("name", ENCODED)
def test_a_file_may_have_any_encoding(tmp_path, name):
    (tmp_path / "file.py").write_bytes(ENCODED[name])
    assert code_digest(tmp_path / "file.py") == code_digest("x = 1")


@pytest.mark.parametrize(
    "data",
    [
        b"\x7fELF\0\xff",
        b"def f(:\n",
        b"\xff\xfe",
        b"# coding: nowhere\n",
        b"  \xff = 1",
        b"x = " + b"(" * 9000,
        b"x = " + b"-" * 99999 + b"1",
        b"x = 1" + b" + 1" * 3000,
    ],
)
def test_of_what_is_no_python_every_byte_counts(tmp_path, data):
    file = tmp_path / "file"
    file.write_bytes(data)
    before = code_digest(file)
    file.write_bytes(data + b"\n\n#")
    assert code_digest(file) != before


def _deeper(call, levels):
    return call() if levels == 0 else _deeper(call, levels - 1)


@pytest.mark.parametrize("terms", [20, 50, 100, 200])
def test_a_digest_does_not_depend_on_the_depth_of_its_caller(terms):
    source = " + ".join(["x"] * terms)
    room = sys.getrecursionlimit() - len(_stack())
    assert code_digest(source) == _deeper(lambda: code_digest(source), room - 500)


def _stack():
    frame, frames = sys._getframe(), []
    while frame:
        frames.append(frame)
        frame = frame.f_back
    return frames


def test_escapes_in_a_users_file_give_no_warning(recwarn):
    code_digest("x = '\\d'")
    assert not recwarn.list
