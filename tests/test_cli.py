import subprocess
import sys
from pathlib import Path

import pytest

from benchmark.cli import main

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize(
    ("arguments", "said"),
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
        (["--norm", "l3"], "'linf' or 'l2'"),
        (["--device", "cuda"], "CUDA"),
    ],
)
def test_a_wrong_command_gets_one_line_status_2_and_writes_nothing(tmp_path, capsys, arguments, said):
    import torch

    if "cuda" in arguments and torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    output = tmp_path / "out"
    assert main(["--output", str(output), *arguments]) == 2
    streams = capsys.readouterr()
    assert said in streams.err
    assert streams.err.count("\n") == 1
    assert not output.exists()


def test_an_output_that_cannot_be_written_is_a_usage_error(tmp_path, capsys):
    file = tmp_path / "file"
    file.write_text("")
    assert main(["--output", str(file), "--datasets", "digits", "--defenses", "vanilla"]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_help_is_quick_and_says_how():
    code = """if True:
        import sys
        from benchmark.cli import build_parser
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


def test_dry_run_tells_grid_cache_and_cost(tmp_path, capsys):
    arguments = ["--datasets", "digits", "--defenses", "vanilla", "--attacks", "noise", "--dry-run"]
    assert main([*arguments, "--output", str(tmp_path / "out")]) == 0
    told = capsys.readouterr().out
    assert "cells, 0 cached" in told
    assert "passes" in told
