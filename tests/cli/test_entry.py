import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmark.cli import entry, main, run_command
from benchmark.core.errors import Stopped, StoppedAtOnce

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--defenses", "pgdat"], "Did you mean 'pgd_at'"),
        (["--defenses", "eat[members=0]"], "members"),
        (["--attacks", "pgd[steps=x]"], "steps"),
        (["--eps", "-0.1"], "negative"),
        (["--eps", "-8/255"], "negative"),
        (["--defenses", "al"], "Did you mean 'all'"),
        (["--config", "/not/there.yaml"], "cannot be read"),
        (["--plugin", "/not/there.py"], "no plugin file"),
        (["--defences", "all"], "Unrecognized arguments: --defences"),
        (["--seeds"], "--seeds"),
        (["--report-only"], "There is no run"),
        (
            ["--report-only", "--defenses", "eat", "--seeds=1"],
            "does not read --defenses, --seeds. Leave it out",
        ),
        (["--merge", "a", "b", "--device", "cpu"], "--merge runs nothing, and does not read --device"),
        (["--status", "--attacks", "noise"], "--status runs nothing, and does not read --attacks"),
        (["--list", "--report-only"], "--list runs nothing, and does not read --report-only"),
        (["--norm", "l3"], "'linf', 'l2' or 'l0'"),
        (["--norm", "l2", "--eps", "1e300"], "no two images are so far from one another"),
        (["--datasets", "folder:bad\udcff"], "'folder:bad\\udcff' is not UTF-8. Rename"),
        (["--compute", "equal-time"], "'equal-epochs' or 'equal-passes'"),
        (["--budget", "0"], "budget"),
        (["--tune", "0"], "number of trials"),
        (["--job-timeout", "0"], "job_timeout='0'"),
        (["--check-plugin", "/not/there.py"], "no plugin file"),
        (["--log", "tensorbord"], "Did you mean 'tensorboard'"),
        (["--log", "tensorboard[size=1]"], "size"),
        (["--log", "tensorboard", "--tune", "2"], "--log is of runs"),
        (["--device", "cuda"], "CUDA"),
        (["--device", "cpu", "--attack-precision", "tf32"], "tf32 is one of GPUs"),
        (["--attack-precision", "half"], "Unknown attack precision 'half'"),
        (["--dry-run", "--open"], "--open shows the page of a run; --dry-run writes none"),
        (["--dry-run", "--export", "json"], "--export writes the results of a run; --dry-run has none"),
        (["--tune", "2", "--open"], "--open shows the page of a run; --tune writes none"),
    ],
)
def test_a_wrong_command_gets_one_line_status_2_and_writes_nothing(tmp_path, capsys, arguments, message):
    import torch

    if "cuda" in arguments and torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    output = tmp_path / "out"
    assert main(["--output", str(output), *arguments]) == 2
    streams = capsys.readouterr()
    assert message in streams.err
    assert streams.err.count("\n") == 1
    assert not output.exists()


def test_a_logger_whose_package_is_missing_stops_the_run_before_it_begins(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    assert main(["--output", str(tmp_path / "out"), "--log", "wandb", "--defenses", "vanilla"]) == 2
    message = capsys.readouterr().err
    assert 'python -m pip install "dml-robustness-benchmark[wandb]"' in message
    assert message.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_an_output_that_cannot_be_written_is_a_usage_error(tmp_path, capsys):
    file = tmp_path / "file"
    file.write_text("")
    assert main(["--output", str(file), "--datasets", "digits", "--defenses", "vanilla"]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_an_error_that_a_signal_has_caused_is_a_stopped_run(capsys, monkeypatch):
    def interrupted_import(*_):
        raise AttributeError("module 'numpy' has no attribute 'minimum'")

    monkeypatch.setattr(entry, "_main", interrupted_import)
    with pytest.raises(AttributeError):
        main([])
    monkeypatch.setattr(entry, "EarlySignals", lambda: SimpleNamespace(error=StoppedAtOnce(signal.SIGINT)))
    assert main([]) == 130
    assert capsys.readouterr().err == "Stopped. What was done is kept; the same command resumes from there.\n"


@pytest.mark.parametrize(("error", "boards", "status"), [(Stopped, 1, 130), (StoppedAtOnce, 0, 130)])
def test_only_the_first_signal_writes_the_board(tmp_path, capsys, monkeypatch, error, boards, status):
    from benchmark.runner import run as module

    def stop(*_):
        raise error(signal.SIGINT)

    written = []
    monkeypatch.setattr(module, "_compute", stop)
    monkeypatch.setattr(module, "check_models", lambda *_: None)
    monkeypatch.setattr(run_command, "report", lambda *_: written.append(1) or "page")
    grid = ["--datasets", "glyphs[classes=8,per_class=6]", "--defenses", "vanilla", "--attacks", "noise"]
    assert main(["--output", str(tmp_path / "out"), "--preset", "smoke", "--workers", "1", *grid]) == status
    assert len(written) == boards
    assert ("The board so far: page" in capsys.readouterr().err) == bool(boards)


def test_help_is_quick_and_says_how():
    code = """if True:
        import sys
        from benchmark.cli.options import build_parser
        print(build_parser().format_help())
        assert "torch" not in sys.modules
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert "examples:" in done.stdout
    assert "--plugin" in done.stdout


def test_list_names_everything(capsys):
    assert main(["--list"]) == 0
    listed = capsys.readouterr().out
    for name in (
        "vanilla",
        "eat",
        "neighbour",
        "pool",
        "standard",
        "glyphs",
        "smallconv",
        "proxy_anchor",
        "clustering",
    ):
        assert name in listed


def test_dry_run_shows_the_plan_the_cache_and_the_cost(tmp_path, capsys):
    arguments = ["--datasets", "digits", "--defenses", "vanilla", "--attacks", "noise", "--dry-run"]
    assert main([*arguments, "--output", str(tmp_path / "out")]) == 0
    plan = capsys.readouterr().out
    assert "Models to train: 1 of 1" in plan
    assert "vanilla, seed 0" in plan
    assert "Cost by defense" in plan and "Cost by attack" in plan
    assert "15 cells, 0 cached, 15 to compute." in plan
    assert plan.count("digits") == 1  # a setting is written out once


@pytest.fixture
def registry(monkeypatch):
    """What a plugin registers is forgotten after the test."""
    from defenses import DEFENSES

    monkeypatch.setattr(DEFENSES, "_entries", dict(DEFENSES._entries))


def test_a_new_defense_keeps_the_contract_as_it_is_written(tmp_path, monkeypatch, capsys, registry):
    monkeypatch.chdir(tmp_path)
    assert main(["--new-defense", "brand_new"]) == 0
    assert "--check-plugin brand_new.py" in capsys.readouterr().out
    assert main(["--check-plugin", "brand_new.py"]) == 0
    output = capsys.readouterr().out
    assert "ok    loss_falls" in output
    assert "0 failed" in output
    text = Path("brand_new.py").read_text()
    assert max(map(len, text.splitlines())) <= 110
    assert main(["--new-defense", "brand_new"]) == 2  # the file is there
    assert Path("brand_new.py").read_text() == text


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("my-defense", "cannot be"),
        ("class", "cannot be"),
        ("vanilla", "taken"),
        ("all", "taken"),
        ("json", "hide"),
    ],
)
def test_a_name_that_cannot_be_gets_one_line(tmp_path, monkeypatch, capsys, name, message):
    monkeypatch.chdir(tmp_path)
    assert main(["--new-defense", name]) == 2
    output = capsys.readouterr().err
    assert message in output
    assert output.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_check_plugin_tells_each_failure_in_a_line(tmp_path, monkeypatch, capsys, registry):
    monkeypatch.chdir(tmp_path)
    assert main(["--new-defense", "turned"]) == 0
    path = Path("turned.py")
    wrong = "batch.index.zero_()\n        return 2 * clean.detach() - clean + 0 *"
    path.write_text(path.read_text().replace("return clean +", wrong))
    capsys.readouterr()
    assert main(["--check-plugin", "turned.py"]) == 1
    streams = capsys.readouterr()
    failures = [line.split(":")[0].split()[-1] for line in streams.out.splitlines() if "FAIL" in line]
    assert failures == ["loss_falls", "leaves_batch"]
    assert streams.err == ""
    path.write_text("def f(:")
    sys.modules.pop("plugin_turned")
    assert main(["--check-plugin", "turned.py"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_tuning_is_handed_the_configuration_and_the_trials(tmp_path, monkeypatch, capsys):
    import benchmark.tuning.tuning

    asked = []
    monkeypatch.setattr(
        benchmark.tuning.tuning, "tune", lambda *arguments: asked.append(arguments) or tmp_path / "tuned.yaml"
    )
    options = [
        "--defenses",
        "pgd_at",
        "--compute",
        "equal-passes",
        "--budget",
        "9",
        "--output",
        str(tmp_path),
    ]
    assert main([*options, "--tune", "7"]) == 0
    ((config, place, trials, shown, execute),) = asked
    assert callable(execute)
    assert (config.compute, config.budget, trials, shown) == (["equal-passes"], 9.0, 7, True)
    assert place.output == tmp_path
    assert "tuned.yaml" in capsys.readouterr().out


THREAD = '''
import threading, time
from attacks import SUITES, Suite

@SUITES.register("one_more")
class OneMore(Suite):
    """One attack."""
    attacks = ("noise",)

threading.Thread(target=time.sleep, args=(100,), name="lasting").start()
'''


@pytest.mark.slow
def test_threads_of_a_plugin_that_keep_the_command_from_ending_are_named_and_a_signal_ends_it(tmp_path):
    (tmp_path / "threads.py").write_text(THREAD)
    command = [
        sys.executable,
        str(ROOT / "run_benchmark.py"),
        "--list",
        "--plugin",
        str(tmp_path / "threads.py"),
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        assert "threads of a plugin run on (lasting)" in process.stderr.readline()
        process.terminate()
        assert process.stderr.read() == ""
    assert process.returncode == -signal.SIGTERM
