import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmark.cli import main
from benchmark.core.processes import machine
from benchmark.records import Store

from ..report.fake_run import NEIGHBOUR, NOISE, OWN, FakeRun

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def run(tmp_path):
    """Two rows: one whose training failed, one with an attack that failed and one that is not done."""
    fake = FakeRun(
        weakness={"vanilla": 0.95, "trades": 0.3},
        references=(),
        seeds=(0,),
        curve={},
        failed_trainings={"trades": "the loss is not a number"},
        failed_attacks={("vanilla", NOISE): "it left its ball in /home/me/x/y"},
        missing={("vanilla", OWN), ("vanilla", NEIGHBOUR)},
    )
    return tmp_path, fake.write(tmp_path)


def lease(output, job, name="", **changes):
    folder = output / "store" / "leases"
    folder.mkdir(exist_ok=True)
    known = {"host": "node7", "pid": 12, "run": "abc", "since": 1_700_000_000.0, "counter": 3}
    (folder / f"{name or job}.json").write_text(json.dumps({**known, **changes}))


def status(output, capsys):
    assert main(["--status", "--output", str(output)]) == 0
    return capsys.readouterr().out


def test_it_counts_names_failures_and_what_waits(run, capsys):
    output, _ = run
    shown = status(output, capsys)
    first, left, *_ = shown.splitlines()
    assert re.search(r"16 cells \(2 done, 10 failed, 4 waiting\)", first), first
    assert "2 trainings (1 done, 1 failed)" in first
    assert re.match(r"Time left: about \d+ (s|min) on \d+ workers", left)
    assert "glyphs, trades, seed 0: training: the loss is not a number" in shown
    assert f"glyphs, vanilla, seed 0: {NOISE} linf 0.1" in shown and "it left its ball in y" in shown
    assert shown.count(f"glyphs, vanilla, seed 0: {NOISE} linf 0.1") == 1  # for all its scenarios
    assert "Waiting:\n  glyphs, vanilla, seed 0: 4 cells" in shown
    assert "Running" not in shown


def test_leases_say_where_jobs_run_and_since_when(run, capsys):
    output, manifest = run
    job = next(ref.id for ref in manifest.cells if ref.key.attack == OWN and ref.key.defense == "vanilla")
    lease(output, job, f"{job}.0", host="dead")
    lease(output, job, f"{job}.1")
    lease(output, "a-teacher", pid=13)
    (output / "store" / "leases" / "damaged.json").write_text("{")
    shown = status(output, capsys)
    assert "2 running" in shown and "2 waiting" in shown  # both scenarios of the attack
    where = "on node7 (process 12) since 2023-11-14 22:13:20 UTC"
    assert f"glyphs, vanilla, seed 0: {OWN} linf 0.1 {where}" in shown
    assert "job a-teacher on node7 (process 13)" in shown
    assert "dead" not in shown and "damaged" not in shown and "no sign of life" not in shown


def test_a_run_without_a_sign_of_life_is_told(run, capsys, monkeypatch):
    output, manifest = run
    lease(output, manifest.cells[1].id)
    monkeypatch.setattr(time, "time", lambda: 1e10)
    assert "no sign of life for" in status(output, capsys)


def test_a_running_training_says_how_far_it_is(run, capsys):
    import numpy as np
    from safetensors.numpy import save_file

    output, manifest = run
    store = Store(output)
    model = manifest.models[0].id
    (store.root / "models" / f"{model}.json").unlink()
    store.unfinished(model).parent.mkdir(exist_ok=True)
    about = json.dumps({"notes": {"epoch": 3, "epochs": 24}})
    save_file({"x": np.zeros(1)}, store.unfinished(model), {"about": about})
    lease(output, model)
    assert "training (epoch 3 of 24 is saved) on node7" in status(output, capsys)


def test_the_jobs_of_a_run_whose_process_has_ended_wait(run, capsys):
    output, manifest = run
    job = next(ref.id for ref in manifest.cells if ref.key.attack == OWN and ref.key.defense == "vanilla")
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    lease(output, job, f"{job}.0", pid=ended.pid, machine=machine())
    shown = status(output, capsys)
    assert "Running" not in shown and "4 waiting" in shown
    assert "Interrupted: 1 jobs, whose run has ended. The same command resumes them." in shown


def test_saved_states_of_other_jobs_are_told(run, capsys):
    output, manifest = run
    store = Store(output)
    for job in (manifest.models[0].id, "changed"):
        store.unfinished(job).parent.mkdir(exist_ok=True)
        store.unfinished(job).write_bytes(bytes(1_500_000))
    shown = status(output, capsys)
    assert f"or changed code: 1 files, 1.5 MB, in {store.root / 'unfinished'}. Delete those" in shown


def test_a_file_in_the_place_of_the_folder_gets_one_line(tmp_path, capsys):
    (tmp_path / "file").touch()
    assert main(["--status", "--output", str(tmp_path / "file")]) == 2
    assert f"'{tmp_path / 'file'}' is a file" in capsys.readouterr().err


def test_a_folder_without_a_run_gets_one_line(tmp_path, capsys):
    assert main(["--status", "--output", str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_it_needs_no_torch(run):
    output, _ = run
    code = f"""if True:
        import sys
        from benchmark.cli import main
        assert main(["--status", "--output", {str(output)!r}]) == 0
        assert not {{"torch", "pandas", "matplotlib", "sklearn"}} & set(sys.modules)
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
