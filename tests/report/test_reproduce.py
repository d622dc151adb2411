from benchmark.report.reproduce import command

from .fake_run import EQUAL_EPOCHS, EQUAL_PASSES, FakeRun
from .own_models import HOME, OTHER, PLUGIN, models_alone, models_beside_defenses

BOTH_MODES = {"compute": (EQUAL_EPOCHS, EQUAL_PASSES), "seeds": (0,)}


def test_the_command_names_mode_budget_and_lack_of_checks(tables_of):
    run, tables = tables_of(FakeRun(**BOTH_MODES, budget=13.5, config={"checks": False}))
    equal_epochs, equal_passes = (command(run.manifest, table, table.rows[0]) for table in tables)
    assert "--compute equal-epochs" in equal_epochs and "--budget" not in equal_epochs
    assert "--compute equal-passes" in equal_passes and "--budget 13.5" in equal_passes
    assert equal_epochs.endswith("--no-checks")
    run, (table,) = tables_of(FakeRun(config={"checks": True}), "plain")
    plain = command(run.manifest, table, table.rows[0])
    assert "--compute equal-epochs" in plain and "--no-checks" not in plain


def test_the_command_names_the_precision_that_is_not_the_default(tables_of):
    for name, expected in (("float32", False), ("bfloat16", True)):
        run, (table,) = tables_of(FakeRun(config={"attack_precision": name}), name)
        text = command(run.manifest, table, table.rows[0])
        assert ("--attack-precision bfloat16" in text) == expected and "float32" not in text


def test_the_command_names_no_folder_of_the_machine(tables_of):
    spec = "folder[linf=0.1,path=/home/me/cost $5,size=32]"
    run, (table,) = tables_of(FakeRun(datasets=(spec,), short_names={spec: "birds"}))
    text = command(run.manifest, table, table.rows[0])
    # In single quotes, or the shell would put its own $5 there.
    assert "--datasets 'folder[linf=0.1,path=cost $5,size=32]'" in text
    assert "/home" not in text


def test_an_own_model_is_given_as_one(tables_of):
    run, (table,) = tables_of(models_alone())
    text = command(run.manifest, table, table.rows[0])
    assert '--model "net.py:make[weights=net.safetensors]"' in text
    assert '--datasets "folder:birds[pool=all,size=32]"' in text
    for option in ("--defenses", "--backbones", "--losses", "--compute", HOME):
        assert option not in text


def test_an_own_model_beside_defenses_has_one_beside_it(tables_of):
    run, (table, _) = tables_of(models_beside_defenses())
    text = command(run.manifest, table, next(row for row in table.rows if row.defense == OTHER))
    assert "--model net.onnx" in text and "--defenses vanilla" in text and "--backbones smallconv" in text
    text = command(run.manifest, table, next(row for row in table.rows if row.defense == PLUGIN))
    assert '--defenses "distilled[table=table.pt]"' in text and "--model" not in text
