from benchmark.report.reproduce import command

from .fake_run import EQUAL_EPOCHS, EQUAL_PASSES, FakeRun

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


def test_the_command_names_no_folder_of_the_machine(tables_of):
    spec = "folder[linf=0.1,path=/home/me/cost $5,size=32]"
    run, (table,) = tables_of(FakeRun(datasets=(spec,), short_names={spec: "birds"}))
    text = command(run.manifest, table, table.rows[0])
    # In single quotes, or the shell would put its own $5 there.
    assert "--datasets 'folder[linf=0.1,path=cost $5,size=32]'" in text
    assert "/home" not in text
