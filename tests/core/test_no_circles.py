"""Imports within each package of the project, those inside functions included, form no circle."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOP = ("attacks", "benchmark", "defenses")


def modules(package):
    """The file of each module of a package, by its full name."""
    files = (ROOT / package.replace(".", "/")).glob("*.py")
    return {package if file.stem == "__init__" else f"{package}.{file.stem}": file for file in files}


def imported(file, known):
    """The modules among those known that a file imports anywhere."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names} & known
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                found |= {name if name in known else node.module} & known
    return found


def packages():
    """The names of all packages of the project, those within packages included."""
    found = (file.parent for top in TOP for file in (ROOT / top).rglob("__init__.py"))
    return sorted(".".join(folder.relative_to(ROOT).parts) for folder in found)


def test_all_packages_are_found():
    assert {*TOP, "attacks.objectives", "benchmark.core", "benchmark.evaluation.conformance"} <= set(
        packages()
    )


@pytest.mark.parametrize("package", packages())
def test_no_import_closes_a_circle(package):
    files = modules(package)
    assert files
    try:
        TopologicalSorter({name: imported(file, set(files)) for name, file in files.items()}).prepare()
    except CycleError as error:
        pytest.fail(" <- ".join(error.args[1]))


def test_a_circle_is_found(tmp_path):
    for name, text in (("a", "import p.b"), ("b", "def f():\n    from p import a")):
        (tmp_path / f"{name}.py").write_text(text)
    known = {"p", "p.a", "p.b"}
    assert imported(tmp_path / "a.py", known) == {"p.b"}
    assert imported(tmp_path / "b.py", known) == {"p.a"}
