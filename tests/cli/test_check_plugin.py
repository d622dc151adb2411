"""`--check-plugin`: several files, variants of their classes, and what is counted."""

import sys

import pytest

from benchmark.cli import main
from benchmark.core.child_process import forkable

DEFENSE = '''
from pydantic import PositiveFloat

from defenses import DEFENSES, Defense


@DEFENSES.register("{name}")
class Mine(Defense):
    """Mine."""

    weight: float = 1.0

    def loss(self, model, batch, attack):
        if self.weight == 0:
            raise KeyError("no weight")
        return self.weight * model.loss(model(batch.images), batch.labels)
'''

OTHERS = '''
from attacks import OBJECTIVES, SUITES, Objective, Suite
from benchmark.losses import LOSSES
from benchmark.losses.proxy_anchor import ProxyAnchor


@OBJECTIVES.register("first_axis")
class FirstAxis(Objective):
    """Away from the first axis."""

    sign: float = 1.0

    def bind(self, problem):
        return lambda embeddings, index: -self.sign * embeddings[:, 0]


@SUITES.register("one")
class One(Suite):
    """One attack."""

    attacks = ("noise",)


@LOSSES.register("my_anchor")
class MyAnchor(ProxyAnchor):
    """Proxy anchor again."""
'''


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Two plugin files; what they register is forgotten after the test."""
    from benchmark.plugins.registries import REGISTRIES

    for registry in REGISTRIES.values():
        monkeypatch.setattr(registry, "_entries", dict(registry._entries))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "checked_defense.py").write_text(DEFENSE.format(name="checked"))
    (tmp_path / "checked_others.py").write_text(OTHERS)
    yield ["checked_defense.py", "checked_others.py"]
    for name in ("plugin_checked_defense", "plugin_checked_others"):
        sys.modules.pop(name, None)


def heads(text):
    return [line.split(":")[0] for line in text.splitlines() if not line.startswith(" ")]


def test_several_files_are_checked_and_everything_is_counted(files, capsys):
    assert main(["--check-plugin", *files]) == 0
    output = capsys.readouterr().out
    lines = output.splitlines()
    assert sorted(heads(output)[:-1]) == ["checked", "first_axis", "my_anchor", "one"]
    assert "  skip  leaves_teachers: it needs no other model" in lines
    assert "  ok    members: `attacks` is a tuple of specs of attacks." in lines
    passed, skipped = (sum(line.startswith(f"  {word} ") for line in lines) for word in ("ok", "skip"))
    assert lines[-1] == f"{passed} checks passed, 0 failed, {skipped} skipped."
    assert passed > 40


def test_a_variant_is_checked_in_place_of_the_defaults(files, capsys):
    assert main(["--check-plugin", files[0], "--defenses", "checked[weight=0]"]) == 1
    output = capsys.readouterr().out
    assert heads(output)[0] == "checked[weight=0]"
    assert "FAIL  trains: KeyError: 'no weight' (checked_defense.py, line 15).\n" in output
    assert "  skip  loss_falls: 'trains' did not pass\n" in output
    assert "1 failed" in output.splitlines()[-1]


def test_variants_of_every_kind_may_be_named_even_within_another_attack(files, capsys):
    options = ["--attacks", "fgsm[objective=first_axis[sign=2]]", "--losses", "my_anchor[delta=0.2]"]
    assert main(["--check-plugin", files[1], *options]) == 0
    assert heads(capsys.readouterr().out)[:-1] == ["first_axis[sign=2]", "my_anchor[delta=0.2]"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--defenses", "chekked"], "Unknown defense 'chekked'. Did you mean 'checked'?"),
        (
            ["--defenses", "vanilla"],
            "'vanilla' is not checked: --check-plugin checks what its files",
        ),
        (["--defenses", "checked[wait=2]"], "Did you mean 'weight'?"),
        (["--attacks", "fgsm[objective=own]"], "is not checked"),
        (["--datasets", "digits,checked"], "'digits' is not checked"),
    ],
)
def test_an_unknown_or_foreign_name_gets_one_line(files, capsys, options, message):
    assert main(["--check-plugin", *files, *options]) == 2
    streams = capsys.readouterr()
    assert message in streams.err
    assert streams.err.count("\n") == 1
    assert streams.out == ""


def test_every_file_that_does_not_load_is_named(tmp_path, files, capsys):
    for name in files:
        (tmp_path / name).write_text("def f(:")
    assert main(["--check-plugin", *files]) == 2
    error = capsys.readouterr().err
    assert all(name in error for name in files)
    assert error.count("\n") == 1


@pytest.mark.skipif(sys.platform != "linux", reason="children are forked on Linux")
def test_a_class_that_ends_its_process_fails_and_the_next_is_checked(tmp_path, files, capsys):
    path = tmp_path / files[0]
    path.write_text(
        "import os\n" + DEFENSE.format(name="checked").replace('raise KeyError("no weight")', "os._exit(0)")
    )
    ends = ["--defenses", "checked[weight=0]", "--losses", "my_anchor"]
    with forkable():
        assert main(["--check-plugin", *files, *ends]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert any("all others: its process ended (exit code 0)" in line for line in lines)
    passed = sum(line.startswith("  ok ") for line in lines)
    assert lines[-1].startswith(f"{passed} checks passed, 1 failed, ")
    assert passed > 5  # those of the loss
