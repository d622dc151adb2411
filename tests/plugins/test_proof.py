import sys
from types import ModuleType

import pytest

from benchmark.core.errors import SourceError
from benchmark.plugins import proof
from benchmark.plugins.load import load_plugin
from benchmark.plugins.proof import check_plugins, plugins_digest

from .users_plugin import forget, plugin_text, write


@pytest.fixture
def plugin(sandbox):
    write(
        sandbox, {"plug.py": plugin_text("from h import f", use="f()"), "h.py": "def f():\n    return 1.0\n"}
    )
    load_plugin(sandbox / "plug.py")
    return sandbox / "plug.py"


def test_a_worker_with_the_same_files_may_compute(plugin):
    digest = plugins_digest((plugin,))
    forget()  # so far as a process that starts
    check_plugins((plugin,), digest)


@pytest.mark.parametrize("file", ["plug.py", "h.py"])
def test_a_worker_that_starts_after_a_change_may_not(plugin, file):
    digest = plugins_digest((plugin,))
    path = plugin.with_name(file)
    path.write_text(path.read_text() + "\nX = 1\n")
    check_plugins((plugin,), digest)  # this process loaded the files before
    forget()
    with pytest.raises(SourceError, match="plugin's files changed"):
        check_plugins((plugin,), digest)


def test_another_folder_is_another_plugin(plugin, sandbox):
    digest = plugins_digest((plugin,))
    forget()
    with pytest.raises(SourceError):
        check_plugins((), digest)


def test_a_run_that_took_no_digest_takes_any_plugin(plugin):
    check_plugins((plugin,), "")


def test_an_installed_package_without_files_stops_no_run(monkeypatch):
    """As one in an archive has none; a plugin's own file must be there, and is checked when it is loaded."""
    archived = ModuleType("archived_plugin")
    archived.__file__ = "/packages.egg/archived_plugin.py"
    monkeypatch.setitem(sys.modules, "archived_plugin", archived)
    monkeypatch.setattr(proof, "installed_modules", lambda: ["archived_plugin"])
    forget()
    check_plugins((), plugins_digest(()))
    forget()
