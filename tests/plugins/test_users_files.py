"""Which files a plugin consists of, wherever it lies and whatever they hold."""

import importlib
import os
import sys
from types import ModuleType

import pytest

from benchmark.core.errors import UsageError
from benchmark.core.source import PACKAGES, ROOT
from benchmark.planning.identity import plugin_files, source_digest
from benchmark.plugins.load import load_plugin
from benchmark.plugins.users_files import users_files

from ..counted_calls import calls_of
from .import_cases import CODE_OF_S, PACKAGE
from .users_plugin import assert_identity_follows, forget, plugin_text, write


def test_words_are_no_part_and_nothing_else_in_the_folder(sandbox):
    write(sandbox, {"plug.py": plugin_text("from h import S"), "h.py": CODE_OF_S, "other.py": "X = 1\n"})
    (mine,) = load_plugin(sandbox / "plug.py")
    assert plugin_files([mine]) == ("h.py", "plug.py")
    before = source_digest([mine])
    write(sandbox, {"h.py": '"""Words."""\nS = 1.0  # one\n', "other.py": "X = 2\n"})
    forget()
    assert source_digest([mine]) == before


@pytest.mark.parametrize("imports", ["from pkg.h import S", "from h import S", "from pkg.losses.h import S"])
def test_a_plugin_may_lie_in_a_package_of_its_user(sandbox, imports):
    """Which is found whole where it says that it is a package."""
    sys.path.insert(0, str(sandbox))
    files = {f"pkg/{name}": CODE_OF_S for name in ("plugins/h.py", "h.py", "losses/h.py")}
    inits = dict.fromkeys(("pkg/__init__.py", "pkg/plugins/__init__.py"), "")
    write(sandbox, {**files, **inits, "pkg/plugins/plug.py": plugin_text(imports)})
    (mine,) = load_plugin(sandbox / "pkg" / "plugins" / "plug.py")
    changed = {"from pkg.h": "pkg/h.py", "from h": "pkg/plugins/h.py"}
    assert_identity_follows(mine, sandbox / changed.get(imports.split(" import")[0], "pkg/losses/h.py"))


def test_a_folder_without_init_may_be_imported_by_its_full_name(sandbox):
    sys.path.insert(0, str(sandbox))
    write(sandbox, {"exp/plug.py": plugin_text("from exp.sub.h import S"), "exp/sub/h.py": CODE_OF_S})
    (mine,) = load_plugin(sandbox / "exp" / "plug.py")
    assert plugin_files([mine]) == ("plug.py", "sub/h.py")
    assert_identity_follows(mine, sandbox / "exp" / "sub" / "h.py")


def test_a_file_name_with_dots_is_no_package(sandbox):
    write(sandbox, {"in/my.plug.py": plugin_text("from h import S"), "in/h.py": CODE_OF_S})
    (mine,) = load_plugin(sandbox / "in" / "my.plug.py")
    assert plugin_files([mine]) == ("h.py", "my.plug.py")


@pytest.mark.parametrize("linked", ["folder", "helper"])
def test_links_are_followed(sandbox, linked):
    write(sandbox, {"real/h.py": CODE_OF_S, "real/plug.py": plugin_text("from h import S")})
    if linked == "folder":
        (sandbox / "mine").symlink_to(sandbox / "real")
    else:
        write(sandbox, {"mine/plug.py": plugin_text("from h import S")})
        (sandbox / "mine" / "h.py").symlink_to(sandbox / "real" / "h.py")
    (sandbox / "real" / "again").symlink_to(sandbox / "real")
    (mine,) = load_plugin(sandbox / "mine" / "plug.py")
    assert plugin_files([mine]) == ("h.py", "plug.py")
    assert_identity_follows(mine, sandbox / "real" / "h.py")


def test_a_plugin_in_the_root_of_a_project_reaches_the_project_by_name(sandbox):
    """And not by file: else every change of the project would change its identity."""
    for package in PACKAGES:
        (sandbox / package).symlink_to(ROOT / package)
    text = plugin_text("import importlib\nfrom benchmark.losses import LOSSES\nfrom h import S")
    write(sandbox, {"plug.py": text + "\nKINDS = ['attacks', 'defenses']\n", "h.py": CODE_OF_S})
    (mine,) = load_plugin(sandbox / "plug.py")
    assert plugin_files([mine]) == ("h.py", "plug.py")


@pytest.mark.parametrize("folder", ["venv/lib/python3.11/site-packages", "."], ids=["venv", "pip --target"])
def test_libraries_in_its_folder_are_no_part_of_a_plugin(sandbox, folder):
    library = {
        "library/__init__.py": "from library import core\n",
        "library/core.py": "X = 1\n",
        "library-1.dist-info/RECORD": "library/__init__.py,,\nlibrary/core.py,,\n",
    }
    imports = (
        "sys.path.insert(0, str(HERE / 'venv/lib/python3.11/site-packages'))\nimport library\nfrom h import S"
    )
    write(sandbox, {"plug.py": plugin_text(imports), "h.py": CODE_OF_S})
    write(sandbox / folder, library)
    (mine,) = load_plugin(sandbox / "plug.py")
    assert plugin_files([mine]) == ("h.py", "plug.py")


@pytest.mark.parametrize(
    "imports", ["import pkg\nS = 1", "from h import S", "import importlib\nfrom h import S"]
)
def test_an_identity_does_not_depend_on_other_plugins(sandbox, imports):
    both = {
        "one.py": plugin_text(imports, name="one"),
        "two.py": plugin_text("import pkg.m", name="two", use="1"),
    }
    write(sandbox, {**both, **PACKAGE, "h.py": "from g import *\n", "g.py": CODE_OF_S})
    (one,) = load_plugin(sandbox / "one.py")
    alone = source_digest([one])
    load_plugin(sandbox / "two.py")
    forget()
    assert source_digest([one]) == alone


INSTALLED = {
    "package": {"acme/__init__.py": "{}", "acme/h.py": CODE_OF_S},
    "module": {"acme.py": "{}", "acme_h.py": CODE_OF_S},
    "module in a package": {"acme/__init__.py": "", "acme/sub/m.py": "{}", "acme/h.py": CODE_OF_S},
}
IMPORTS = {
    "package": ("acme", "from .h import S"),
    "module": ("acme", "from acme_h import S"),
    "module in a package": ("acme.sub.m", "from ..h import S"),
}


@pytest.mark.parametrize("site", ["site-packages", "target"])
@pytest.mark.parametrize("kind", INSTALLED)
def test_an_installed_plugin_is_its_distribution(sandbox, kind, site):
    module, imports = IMPORTS[kind]
    text = plugin_text(f"{imports}\nimport library")
    files = {name: content.replace("{}", text) for name, content in INSTALLED[kind].items()}
    write(
        sandbox / site,
        {
            **files,
            "acme-1.dist-info/RECORD": "".join(f"{name},,\n" for name in files),
            "library/__init__.py": "import library.core\n",
            "library/core.py": "X = 1.0\n",
            "library-1.dist-info/RECORD": "library/__init__.py,,\nlibrary/core.py,,\n",
        },
    )
    sys.path.insert(0, str(sandbox / site))
    mine = importlib.import_module(module).Mine
    assert set(plugin_files([mine])) == set(files)
    assert_identity_follows(mine, sandbox / site / next(name for name in files if name.endswith("h.py")))


def test_an_editable_plugin_is_followed_in_its_source(sandbox):
    """A line of a .pth file puts the source folder on the path; it need not lie beside the installed ones."""
    text = plugin_text("from acme.h import S\nfrom acme_more import T\nimport torch")
    write(
        sandbox / "src",
        {"acme/__init__.py": text, "acme/h.py": CODE_OF_S, "acme_more/__init__.py": "T = 1.0\n"},
    )
    sys.path.append(str(sandbox / "src"))
    mine = importlib.import_module("acme").Mine
    assert plugin_files([mine]) == ("acme/__init__.py", "acme/h.py", "acme_more/__init__.py")
    assert_identity_follows(mine, sandbox / "src" / "acme_more" / "__init__.py")


def test_libraries_on_the_path_are_not_followed(sandbox):
    """As modules of a cluster are: PYTHONPATH, and no folder that is named site-packages."""
    write(
        sandbox, {"opt/torch_like/__init__.py": "", "mine/plug.py": plugin_text("import torch_like\nS = 1")}
    )
    sys.path.insert(0, str(sandbox / "opt"))
    (mine,) = load_plugin(sandbox / "mine" / "plug.py")
    assert plugin_files([mine]) == ("plug.py",)


HARMLESS = {
    "relative to nowhere": "with contextlib.suppress(ImportError):\n    from " + "." * 40 + " import x",
    "no such name": f"X = {'a' * 190!r}, '.', '..', '../..', '/', '*', 'a*', '[', '~', '', '.py', '\\0'",
    "circles": "X = 'one', 'two', 'one/two'",
    "an escape": "X = '\\d'",
    "names of folders": "X = 'closed', 'closed/h.py', 'closed.h', 'folder.py', 'plug.py/x', 'loop/x'",
    "syntax": "with contextlib.suppress(SyntaxError):\n    import wrong, deep, null, indented",
    "nested": f"X = {'-' * 400}1",
    "not Python": "X = 'pipe.py', 'gone.py', 'wrong.py', 'null.py', 'coding.py'",
}


@pytest.mark.parametrize("case", HARMLESS)
def test_nothing_that_a_plugin_holds_ends_in_a_traceback(sandbox, case, recwarn):
    write(
        sandbox,
        {
            "plug.py": plugin_text(f"import contextlib\nS = 1\n{HARMLESS[case]}"),
            "wrong.py": "def f(:\n",
            "deep.py": "X = " + "(" * 5000,
            "null.py": b"\0",
            "indented.py": "  x = 1\n y\n",
            "coding.py": b"# coding: nowhere\n\xff",
            "closed/h.py": CODE_OF_S,
            "folder.py/x": "",
        },
    )
    (sandbox / "gone.py").symlink_to("nowhere")
    (sandbox / "loop").symlink_to("loop")
    (sandbox / "one").symlink_to(".")
    (sandbox / "two").symlink_to(".")
    os.mkfifo(sandbox / "pipe.py")
    (sandbox / "closed").chmod(0)
    try:
        (mine,) = load_plugin(sandbox / "plug.py")
        recwarn.clear()
        source_digest([mine])
    finally:
        (sandbox / "closed").chmod(0o755)
    assert not recwarn.list


def test_a_plugin_whose_code_cannot_be_read_is_refused(sandbox):
    write(sandbox, {"plug.py": plugin_text("S = 1")})
    (mine,) = load_plugin(sandbox / "plug.py")
    (sandbox / "plug.py").unlink()
    with pytest.raises(UsageError, match="no file that can be read"):
        source_digest([mine])


def test_a_large_package_is_gone_through_once(sandbox):
    text = "import torch, numpy\nfrom acme.p{} import m{} as last\nX = 'a', 'b.c', 'p3'\n"
    modules = {f"acme/p{i % 9}/m{i}.py": text.format((i - 1) % 9, i - 1) for i in range(1, 300)}
    write(sandbox, {"acme/__init__.py": "def f():\n    import acme.p2.m299\n", **modules})
    sys.path.insert(0, str(sandbox))
    importlib.import_module("acme")
    found, calls = calls_of(users_files, "acme")
    assert len(found) == 300
    assert calls < 1_500_000  # 536,000 with Python 3.11


def test_many_strings_and_many_folders_are_not_all_tried(tmp_path, monkeypatch):
    for number in range(150):
        (tmp_path / f"run{number}").mkdir()
        for other in range(5):
            (tmp_path / f"run{number}" / f"mod{other}.py").write_text("X = 1\n")
    names = [f"run{number}" for number in range(150)] + [f"name_{number}" for number in range(2000)]
    start = tmp_path / "many_strings.py"
    start.write_text(f"NAMES = {[*names, 'mod3']!r}\n")
    monkeypatch.setitem(sys.modules, "many_strings", ModuleType("many_strings"))
    sys.modules["many_strings"].__file__ = str(start)
    found, calls = calls_of(users_files, "many_strings")
    assert calls < 3_500_000  # 1,209,000 with Python 3.11
    used = {f"run{number}/mod3.py" for number in range(150)}
    assert {file.name for file in found} == {"many_strings.py", *used}
