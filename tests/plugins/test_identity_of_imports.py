"""What a plugin imports is part of its identity, however it imports it: each case changes a constant."""

import sys

import pytest

from benchmark.plugins.load import load_plugin

from .import_cases import CASES, CODE_OF_S
from .users_plugin import assert_identity_follows, plugin_text, write


@pytest.mark.parametrize("lazily", [False, True], ids=["", "lazily"])
@pytest.mark.parametrize("case", CASES)
def test_what_a_plugin_imports_is_part_of_its_identity(sandbox, case, lazily):
    imports, use, files, changed = CASES[case]
    if lazily and "*" in imports:
        pytest.skip("Python imports * at the top only")
    lazy = imports.replace("\n", "\n        ") if lazily else "pass"
    sys.modules.pop("cmd", None)
    text = plugin_text("" if lazily else imports, lazy, use)
    write(sandbox, {"plug.py": text, **files})
    (mine,) = load_plugin(sandbox / "plug.py")
    assert_identity_follows(mine, sandbox / changed)


def test_the_path_may_be_set_in_the_function(sandbox):
    text = plugin_text(lazy="sys.path.insert(0, str(HERE)); from h import S")
    write(sandbox, {"plug.py": text.replace("\nsys.path.insert(0, str(HERE))", ""), "h.py": CODE_OF_S})
    (mine,) = load_plugin(sandbox / "plug.py")
    assert_identity_follows(mine, sandbox / "h.py")
