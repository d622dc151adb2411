import pytest

from benchmark.core.errors import UsageError
from benchmark.plugins.load import load_plugin
from defenses import DEFENSES

FITS = '''
from defenses import DEFENSES, Defense


@DEFENSES.register("{name}")
class Mine(Defense):
    """Mine."""

    def loss(self, model, batch, attack):
        return model.loss(model(batch.images), batch.labels)
'''


@pytest.fixture
def registry(monkeypatch):
    """What a plugin registers is forgotten after the test."""
    monkeypatch.setattr(DEFENSES, "_entries", dict(DEFENSES._entries))


def test_a_plugin_registers_its_class_once(tmp_path, registry):
    path = tmp_path / "plugin_that_fits.py"
    path.write_text(FITS.format(name="mine"))
    assert [cls.name for cls in load_plugin(path)] == ["mine"]
    assert load_plugin(path)[0] is DEFENSES.get("mine")
    assert DEFENSES.build("mine[epochs_scale=2]").spec == "mine[epochs_scale=2]"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1", "registers nothing"),
        ("def f(:", r"line 1\) does not import: SyntaxError"),
        ("\n\nimport not_there_at_all", r"line 3\) does not import: ModuleNotFoundError"),
        ("import json\njson.loads('\\n\\nx')", r"line 2\) does not import: JSONDecodeError"),
        ("from defenses import DEFENSES\n@DEFENSES.register('x')\nclass X: pass", "must derive from Defense"),
        (FITS.format(name="vanilla"), "already taken"),
        (FITS.format(name="all"), "another meaning"),
        (FITS.format(name="my defense"), "is not a name"),
        ("import sys\nsys.exit(0)", "SystemExit"),
        (
            FITS.format(name="mine").replace('"""Mine."""', "beta: int = 'x'"),
            "default of 'mine' does not fit",
        ),
        (
            "from attacks import ATTACKS, Attack\n@ATTACKS.register('a')\nclass A(Attack): pass",
            r"no method perturb\(self, problem\)",
        ),
        (FITS.format(name="mine").replace("def loss", "def lose"), "has no method loss"),
        (FITS.format(name="mine").replace(", attack)", ")"), r"takes \(self, model, batch\)"),
        (
            FITS.format(name="mine").replace('"""Mine."""', "needs = ('vanilla',)")
            + "\n    def build(self, make_member, labels):\n        return make_member()\n",
            r"Mine.build takes \(self, make_member, labels\), not .*, labels, trained\)",
        ),
        (
            "from benchmark.losses import LOSSES, Loss\n@LOSSES.register('a')\nclass A(Loss):\n"
            "    def build(self, classes): pass",
            r"A.build takes \(self, classes\), not \(self, num_classes, dim\)",
        ),
        (FITS.format(name="mine").replace('"""Mine."""', "beta: float"), "default for its parameter 'beta'"),
        (FITS.format(name="mine").replace('"""Mine."""', "beta = 1.0"), "annotation"),
    ],
)
def test_what_does_not_fit_gets_one_line(tmp_path, registry, text, message):
    path = tmp_path / "plugin_that_does_not.py"
    path.write_text(text)
    with pytest.raises(UsageError, match=message) as caught:
        load_plugin(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_error_in_a_helper_names_the_helpers_line(tmp_path, registry, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "helper_that_fails.py").write_text("\n\n1 / 0\n")
    path = tmp_path / "plugin_with_helper.py"
    path.write_text("import helper_that_fails\n")
    with pytest.raises(UsageError, match=r"\(helper_that_fails.py, line 3\) does not import: ZeroDivision"):
        load_plugin(path)


def test_a_missing_plugin_is_reported(tmp_path):
    with pytest.raises(UsageError, match="no plugin file"):
        load_plugin(tmp_path / "none.py")
