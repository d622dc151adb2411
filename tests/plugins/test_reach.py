"""Which modules of the project a module reaches, name by name."""

import ast
import shutil
import sys

import pytest

from benchmark.core.source import PACKAGES, ROOT
from benchmark.plugins import imports, reach
from benchmark.plugins.load import load_plugin

from .users_plugin import forget, plugin_text, write


def modules(*start):
    return reach.reached(frozenset(start)).modules


@pytest.fixture
def project(sandbox, monkeypatch):
    """Stands in for the project's source: reading it imports nothing."""
    monkeypatch.setattr(imports, "ROOT", sandbox)
    forget()
    return sandbox


PASSED_ON = {
    "two of a name": {
        "attacks/__init__.py": "from attacks.old import S as S_old\nfrom attacks.new import S\n",
        "attacks/old.py": "",
        "attacks/new.py": "",
    },
    "one of two": {
        "attacks/__init__.py": "try:\n    from .fast import S\nexcept ImportError:\n    from .new import S\n",
        "attacks/fast.py": "",
        "attacks/new.py": "",
    },
    "renamed": {
        "attacks/__init__.py": "from .sub import T as S\n",
        "attacks/sub/__init__.py": "from ..new import X as T\n",
        "attacks/new.py": "",
    },
    "hidden module": {
        "attacks/__init__.py": "import attacks.S\nfrom .new import S\n",
        "attacks/S.py": "",
        "attacks/new.py": "",
    },
    "star": {"attacks/__init__.py": "from .new import *\n", "attacks/new.py": ""},
    "circle": {
        "attacks/__init__.py": "from .sub import S\n",
        "attacks/sub/__init__.py": "from attacks import S\nfrom ..new import S\n",
        "attacks/new.py": "",
    },
    "not for type checkers": {
        "attacks/__init__.py": "if TYPE_CHECKING:\n    S: int\nelse:\n    from .new import S\n",
        "attacks/new.py": "",
    },
}


@pytest.mark.parametrize("case", PASSED_ON)
def test_a_name_is_followed_to_every_module_that_may_define_it(project, case):
    write(project, {**PASSED_ON[case], "defenses/mine.py": "def f():\n    from attacks import S\n"})
    assert "attacks.new" in modules("defenses.mine")


def test_what_a_package_passes_on_beside_a_name_is_not_followed(project):
    package = {
        "attacks/__init__.py": "from .a import A\nfrom .b import B\n",
        "attacks/a.py": "",
        "attacks/b.py": "",
    }
    write(project, {**package, "defenses/mine.py": "from attacks import A\n"})
    assert modules("defenses.mine") == {"defenses.mine", "attacks.a"}


def test_packages_of_the_project_only_pass_names_on():
    """What one patched or wrapped would be no part of identities: names are followed past packages."""
    plain = (ast.Import, ast.ImportFrom, ast.FunctionDef)
    for package in PACKAGES:
        for file in (ROOT / package).rglob("__init__.py"):
            taken = {made.bound for made in imports.imports_in(imports.nodes_of(file, False), "x")}
            for statement in ast.parse(file.read_text()).body:
                if isinstance(statement, ast.Assign | ast.AnnAssign):
                    targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
                    assert all(isinstance(target, ast.Name) and target.id not in taken for target in targets)
                elif isinstance(statement, ast.If):
                    assert ast.unparse(statement.test) == "TYPE_CHECKING"
                elif isinstance(statement, ast.Expr):
                    assert isinstance(statement.value, ast.Constant)
                else:
                    assert isinstance(statement, plain), file


@pytest.mark.parametrize(
    "imports",
    [
        "from benchmark.metrics.kmeans import *",
        "import importlib; m = importlib.import_module('benchmark.metrics.kmeans')",
        "if 0:\n    import benchmark.metrics.kmeans",
    ],
)
def test_a_plugin_reaches_what_it_takes_from_the_project(sandbox, imports):
    write(sandbox, {"plug.py": plugin_text("import h", use="1"), "h.py": imports})
    (mine,) = load_plugin(sandbox / "plug.py")
    found = reach.reached(reach.modules_of([mine]))
    assert {"benchmark.metrics.kmeans", "benchmark.metrics.kmeans_init", "defenses.base"} <= found.modules
    assert not [file for file in found.files if file.path.is_relative_to(ROOT)]


@pytest.mark.parametrize("folder", ["defenses", "."])
def test_a_plugin_in_the_project_has_its_helpers(sandbox, monkeypatch, folder):
    """In one of its packages, or beside them."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, sandbox / package, ignore=shutil.ignore_patterns("__pycache__"))
    place = sandbox / folder
    write(place, {"plug.py": plugin_text("from helper_of_plug import S"), "helper_of_plug.py": "S = 1.0\n"})
    (mine,) = load_plugin(place / "plug.py")
    names = {file.path.name for file in reach.reached(reach.modules_of([mine])).files}
    assert {"plug.py", "helper_of_plug.py"} <= names


def test_reading_code_imports_nothing():
    before = set(sys.modules)
    forget()
    modules("benchmark.training.loop", "benchmark.studies.eat")
    assert set(sys.modules) == before
