import pytest

from benchmark.core.source import ROOT
from benchmark.plugins.imports import Import, imports_by_name, imports_in, module_file, nodes_of, texts_in


@pytest.fixture
def nodes(tmp_path):
    def parse(text, type_checking=False):
        file = tmp_path / "file.py"
        file.write_text(text)
        return nodes_of(file, type_checking)

    return parse


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("import a.b, c as d", [("a.b", "", "a"), ("c", "", "d")]),
        ("from a import b as c, d", [("a", "b", "c"), ("a", "d", "d")]),
        ("def f():\n    from a import *", [("a", "*", "*")]),
        ("from . import a", [("pkg.sub", "a", "a")]),
        ("from ..b import a", [("pkg.b", "a", "a")]),
        ("if TYPE_CHECKING:\n    import a\nelse:\n    import b", [("b", "", "b")]),
        ("if t.TYPE_CHECKING:\n    import a\nelif X:\n    import b", [("b", "", "b")]),
        ("if not TYPE_CHECKING:\n    import a", [("a", "", "a")]),
        ("import a\n" + "x = " + "+".join("1" * 900), [("a", "", "a")]),
        ("not Python", []),
    ],
)
def test_imports_are_read_from_the_text(nodes, text, found):
    assert imports_in(nodes(text), "pkg.sub") == [Import(*made) for made in found]


def test_imports_for_type_checkers_count_where_it_is_asked(nodes):
    assert len(imports_in(nodes("if TYPE_CHECKING:\n    import a\nelse:\n    import b", True), "")) == 2


def test_outside_of_a_package_relative_imports_keep_their_dots(nodes):
    assert imports_in(nodes("from ..a import b"), "") == [Import("..a", "b", "b")]


def test_texts_are_those_that_may_be_names(nodes):
    text = "f('a.b', f'c.{x}', 'two\\nlines', '', b'bytes', 1)\n" + f"x = '{'l' * 300}'"
    assert sorted(texts_in(nodes(text))) == ["a.b", "c."]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("import importlib.util as u", True),
        ("from importlib import import_module as get", True),
        ("def f():\n    return __import__(name)", True),
        ("exec(code)", True),
        ("import a\nmodel.exec()", False),
    ],
)
def test_files_that_import_by_computed_names_are_known(nodes, text, expected):
    assert imports_by_name(nodes(text)) is expected


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("defenses", "defenses/__init__.py"),
        ("benchmark.core.seeding", "benchmark/core/seeding.py"),
        ("benchmark.core.seeding.derive_seed", None),
        ("benchmark.none", None),
        ("benchmark.core.*", None),
    ],
)
def test_a_module_of_the_project_has_a_file(name, file):
    assert module_file(name) == (file and ROOT / file)
