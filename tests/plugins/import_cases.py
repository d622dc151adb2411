"""Ways in which a plugin may import a file."""

from importlib.machinery import EXTENSION_SUFFIXES

CODE_OF_S = "S = 1.0\n"
PACKAGE = {"pkg/__init__.py": "", "pkg/m.py": CODE_OF_S}
NAMESPACE = {"pkg/m.py": CODE_OF_S}
BY_PATH = (
    "import importlib.util as u; spec = u.spec_from_file_location('other', HERE / {}); "
    "h = u.module_from_spec(spec); spec.loader.exec_module(h)"
)
BY_NAME = "import importlib; h = importlib.import_module({})"
EITHER = "try:\n    from {} import S\nexcept {}:\n    from {} import S\n"

# What the plugin imports, what is used of it, the files beside it, and the one that changes.
CASES = {
    "file": ("from h import S", "S", {"h.py": CODE_OF_S}, "h.py"),
    "renamed": ("import h as other", "other.S", {"h.py": CODE_OF_S}, "h.py"),
    "from package.module": ("from pkg.m import S", "S", PACKAGE, "pkg/m.py"),
    "from package": ("from pkg import m", "m.S", PACKAGE, "pkg/m.py"),
    "package.module": ("import pkg.m", "pkg.m.S", PACKAGE, "pkg/m.py"),
    "namespace: from package.module": ("from pkg.m import S", "S", NAMESPACE, "pkg/m.py"),
    "namespace: from package": ("from pkg import m", "m.S", NAMESPACE, "pkg/m.py"),
    "namespace: package.module": ("import pkg.m", "pkg.m.S", NAMESPACE, "pkg/m.py"),
    "name in a package that is imported on the way": (
        "import pkg.m",
        "pkg.S",
        {"pkg/__init__.py": CODE_OF_S, "pkg/m.py": ""},
        "pkg/__init__.py",
    ),
    "package that patches its module": (
        "from pkg import f",
        "f()",
        {
            "pkg/__init__.py": "from pkg import m\nfrom pkg.m import f\nm.S = 1.0\n",
            "pkg/m.py": "def f(): return S\n",
        },
        "pkg/__init__.py",
    ),
    "package that wraps a name": (
        "from pkg import S",
        "S",
        {"pkg/__init__.py": "from pkg.m import S\nS = S * 1.0\n", "pkg/m.py": "S = 1\n"},
        "pkg/__init__.py",
    ),
    "two of a name": (
        "from pkg import S",
        "S",
        {
            "pkg/__init__.py": "from pkg.old import S as S_old\nfrom pkg.new import S\n",
            "pkg/old.py": "S = 1\n",
            "pkg/new.py": CODE_OF_S,
        },
        "pkg/new.py",
    ),
    "one of two that is there": (
        "from pkg import S",
        "S",
        {
            "pkg/__init__.py": EITHER.format(".fast", "ImportError", ".slow"),
            "pkg/fast.py": "import not_there\nS = 2\n",
            "pkg/slow.py": CODE_OF_S,
        },
        "pkg/slow.py",
    ),
    "module hidden by an object": (
        "from pkg import S",
        "S",
        {
            "pkg/__init__.py": "import pkg.S\nfrom pkg.new import S\n",
            "pkg/S.py": "X = 1\n",
            "pkg/new.py": CODE_OF_S,
        },
        "pkg/new.py",
    ),
    "stars": (
        "from pkg import *",
        "S",
        {
            "pkg/__init__.py": "from pkg.a import *\nfrom pkg.b import *\n",
            "pkg/a.py": "X = 1\n",
            "pkg/b.py": CODE_OF_S,
        },
        "pkg/b.py",
    ),
    "star of a package that lists modules": (
        "from pkg import *",
        "m.S",
        {"pkg/__init__.py": "__all__ = ['m']\n", "pkg/m.py": CODE_OF_S},
        "pkg/m.py",
    ),
    "renamed through two packages": (
        "from pkg import T",
        "T",
        {
            "pkg/__init__.py": "from pkg.sub import S as T\n",
            "pkg/sub/__init__.py": "from .c import C as S\n",
            "pkg/sub/c.py": "C = 1.0\n",
        },
        "pkg/sub/c.py",
    ),
    "not for type checkers": (
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    S: float\nelse:\n    from h import S",
        "S",
        {"h.py": CODE_OF_S},
        "h.py",
    ),
    "if not for type checkers": (
        "import typing\nif not typing.TYPE_CHECKING:\n    from h import S",
        "S",
        {"h.py": CODE_OF_S},
        "h.py",
    ),
    "by name": (BY_NAME.format("'h'"), "h.S", {"h.py": CODE_OF_S}, "h.py"),
    "by another's name": (BY_NAME.format("'pkg.m'"), "h.S", PACKAGE, "pkg/m.py"),
    "by a computed name": (BY_NAME.format("chr(104)"), "h.S", {"h.py": CODE_OF_S}, "h.py"),
    "by a name computed in part": (
        BY_NAME.format("f'pkg.{chr(109)}'"),
        "h.S",
        PACKAGE,
        "pkg/m.py",
    ),
    "every module of a package": (
        "import importlib, pkgutil, pkg\n"
        "ms = [importlib.import_module('pkg.' + i.name) for i in pkgutil.iter_modules(pkg.__path__)]",
        "ms[0].S",
        PACKAGE,
        "pkg/m.py",
    ),
    "by path": (BY_PATH.format("'h.py'"), "h.S", {"h.py": CODE_OF_S}, "h.py"),
    "by path in a folder": (BY_PATH.format("'lib' / 'h.py'"), "h.S", {"lib/h.py": CODE_OF_S}, "lib/h.py"),
    "run": ("exec((HERE / 'h.py').read_text())", "S", {"h.py": CODE_OF_S}, "h.py"),
    "folder on the path": (
        "sys.path.insert(0, str(HERE / 'lib'))\nfrom h import S",
        "S",
        {"lib/h.py": CODE_OF_S},
        "lib/h.py",
    ),
    "name of the standard library's": ("from cmd import S", "S", {"cmd.py": CODE_OF_S}, "cmd.py"),
    "name of a library's": ("from numba import S", "S", {"numba.py": CODE_OF_S}, "numba.py"),
    "relative": (
        "from pkg.m import f",
        "f()",
        {"pkg/__init__.py": "", "pkg/m.py": "from . import c\ndef f(): return c.S\n", "pkg/c.py": CODE_OF_S},
        "pkg/c.py",
    ),
    "two levels up": (
        "from pkg.a.b.m import f",
        "f()",
        {"pkg/a/b/m.py": "from ...c import S\ndef f(): return S\n", "pkg/c.py": CODE_OF_S},
        "pkg/c.py",
    ),
    "circle": (
        "from h import f",
        "f()",
        {"h.py": "import g\ndef f(): return g.S\n", "g.py": "import h\nS = 1.0\n"},
        "g.py",
    ),
    "circle of packages": (
        "from pkg import f",
        "f()",
        {
            "pkg/__init__.py": "from pkg.sub import f\n",
            "pkg/sub/__init__.py": "S = 1.0\ndef f():\n    from pkg import f as g\n    return S\n",
        },
        "pkg/sub/__init__.py",
    ),
    "byte order mark": ("from h import S", "S", {"h.py": "\ufeffS = 1.0\n"}, "h.py"),
    "latin-1": ("from h import S", "S", {"h.py": b"# coding: latin-1\nE = '\xe9'\nS = 1.0\n"}, "h.py"),
    "instead of a package that raises": (
        EITHER.format("broken.m", "RuntimeError", "h"),
        "S",
        {"broken/__init__.py": "raise RuntimeError('no GPU')\n", "broken/m.py": "", "h.py": CODE_OF_S},
        "h.py",
    ),
    "instead of a file of a newer Python": (
        EITHER.format("newer", "SyntaxError", "h"),
        "S",
        {"newer.py": "def f(:\n", "h.py": CODE_OF_S},
        "h.py",
    ),
    "instead of a library that is not there": (
        EITHER.format("fast", "ImportError", "h"),
        "S",
        {"fast.so": b"\x7fELF 1.0", "h.py": CODE_OF_S},
        "fast.so",
    ),
    "instead of a library of this Python": (
        EITHER.format("fast", "ImportError", "h"),
        "S",
        {f"fast{EXTENSION_SUFFIXES[0]}": b"\x7fELF 1.0", "h.py": CODE_OF_S},
        f"fast{EXTENSION_SUFFIXES[0]}",
    ),
    "compiled when it runs": (
        "def load(sources): ...\nS = load(sources=[str(HERE / 'op.cpp')])",
        "S",
        {"op.cpp": "float s = 1.0;"},
        "op.cpp",
    ),
    "longer than recursion goes": (
        "from h import S",
        "S",
        {"h.py": f"from g import S\nT = {' + '.join('1' * 900)}\n", "g.py": CODE_OF_S},
        "g.py",
    ),
}
