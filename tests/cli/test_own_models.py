"""Own models from the command line, as a user would evaluate them."""

import json

import pandas as pd
import pytest
import torch
import yaml
from safetensors.numpy import load_file

from benchmark.cli import main
from benchmark.core.spec import parse_spec
from benchmark.records import Store

from ..conftest import TINY
from ..models.own.networks import SOURCE

QUICK = {
    **TINY,
    "attacks": ["pgd_decay[objective=neighbour,steps=3]", "square[objective=neighbour,queries=5]", "noise"],
}
"""White box, black box and none."""


@pytest.fixture
def nets(tmp_path):
    path = tmp_path / "nets.py"
    path.write_text(SOURCE)
    return path


@pytest.fixture
def run(tmp_path, without_figures):
    def run(*arguments, output="out", status=0, **changes):
        settings = {
            key: value for key, value in {**QUICK, "workers": 1, **changes}.items() if key != "defenses"
        }
        if "--model" in arguments and "--defenses" not in arguments and "training" not in changes:
            settings.pop("training", None)
        config = tmp_path / "quick.yaml"
        config.write_text(yaml.safe_dump(settings))
        found = main(
            ["--config", str(config), *arguments, "--output", str(tmp_path / output), "--no-progress"]
        )
        assert found == status
        return tmp_path / output

    return run


def rows(output):
    return pd.read_csv(output / "leaderboard.csv").set_index("defense")


@pytest.mark.slow
def test_a_model_alone_gets_a_row_beside_pixels(run, nets, capsys):
    output = run("--model", f"{nets}:make_model")
    board = rows(output)
    assert set(board.index) == {"nets.py:make_model", "pixels"}
    row = board.loc["nets.py:make_model"]
    assert row["rank"] == 1
    assert pd.isna(row["train_cost"])
    assert row["failed_cells"] == 0
    manifest = Store(output).manifest()
    assert {cell.key.dataset for cell in manifest.cells} == {"glyphs[classes=16,per_class=6,pool=all]"}
    assert {cell.key.backbone for cell in manifest.cells} == {"none"}
    for path in output.rglob("*.md"):
        assert str(nets.parent) not in path.read_text()
    capsys.readouterr()
    assert (
        main(["--explain", "defense=pixels,attack=noise,scenario=clustering", "--output", str(output)]) == 0
    )
    assert "The same command computes it under this identity now" in capsys.readouterr().out


@pytest.mark.slow
def test_the_same_model_again_is_cached_and_other_weights_are_another(run, nets, capsys):
    output = run("--model", f"{nets}:make_model")
    before = {path.name for path in (output / "store" / "cells").iterdir()}
    run("--model", f"{nets}:make_model")
    assert {path.name for path in (output / "store" / "cells").iterdir()} == before
    nets.write_text(
        SOURCE.replace("width=4):\n    return", "width=4):\n    torch.manual_seed(7)\n    return")
    )
    weights = nets.parent / "w.pth"
    space = {}
    exec(SOURCE, space)
    torch.save(space["Net"]().state_dict(), weights)
    run("--model", f"{nets}:make_model", "--weights", str(weights))
    ids = {cell.model_id for cell in Store(output).manifest().cells}
    torch.save(space["Net"]().state_dict(), weights)
    run("--model", f"{nets}:make_model", "--weights", str(weights))
    assert len(ids & {cell.model_id for cell in Store(output).manifest().cells}) == 1  # pixels


@pytest.mark.slow
def test_beside_defenses_it_is_in_their_table_on_the_test_classes(run, nets):
    output = run("--model", f"{nets}:make_model", "--defenses", "vanilla")
    board = rows(output)
    assert set(board.index) == {"nets.py:make_model", "vanilla", "pixels"}
    assert set(board["dataset"]) == {"glyphs[classes=16,per_class=6]"}
    assert set(board["backbone"]) == {"smallconv"}
    assert board["n_seeds"].tolist() == [1, 1, 1]


@pytest.mark.slow
def test_two_models_are_each_other_s_source_of_transferred_attacks(run, nets):
    attacks = ["noise", "transfer[source=vanilla,attack=fgsm[objective=own]]"]
    output = run("--model", f"{nets}:make_model", "--model", f"{nets}:make_model[dim=5]", attacks=attacks)
    cells = Store(output).manifest().cells
    made = {cell.key.defense: cell.key.attack for cell in cells if cell.key.attack.startswith("transfer")}
    first, second = f"{nets}:make_model", f"{nets}:make_model[dim=5]"
    assert f"source={second}" in made[first]
    assert f"source={first}" in made[second]
    attack = "transfer[attack=fgsm[objective=own],source=nets.py:make_model]"
    shown = pd.read_csv(output / "cells.csv")["attack"].unique()
    assert attack in shown
    assert not any(str(nets.parent) in name for name in shown)


@pytest.mark.slow
def test_without_another_model_transferred_attacks_are_left_out_and_said_so(run, nets):
    output = run("--model", f"{nets}:make_model", attacks=["noise", "transfer"])
    cells = Store(output).manifest().cells
    assert {cell.key.defense for cell in cells if "transfer" in cell.key.attack} == {"pixels"}
    assert "there is no other model to make them on" in (output / "leaderboard.md").read_text()


@pytest.mark.slow
def test_a_model_without_gradients_has_no_rank(run, nets):
    output = run("--model", f"{nets}:detached")
    row = rows(output).loc["nets.py:detached"]
    assert pd.isna(row["rank"])
    attacks = {
        cell.key.attack for cell in Store(output).manifest().cells if cell.key.defense.endswith("detached")
    }
    assert not any(name.startswith("pgd") for name in attacks)
    assert any(name.startswith("square") for name in attacks)


@pytest.mark.slow
def test_images_are_kept_to_look_at(run, nets):
    output = run("--model", f"{nets}:make_model")
    run("--model", f"{nets}:make_model", "--save-images", "3")
    kept = [load_file(path) for path in (output / "store" / "images").iterdir()]
    assert kept
    for images in kept:
        assert images["clean"].shape == images["attacked"].shape == (3, 1, 28, 28)
        assert images["before"].shape[:2] == images["before_labels"].shape
        assert abs(images["clean"] - images["attacked"]).max() > 0
    assert len(list((output / "images").rglob("*.png"))) >= 3


@pytest.mark.slow
def test_a_model_is_the_start_of_a_defense(run, nets):
    output = run("--defenses", "vanilla", "--backbones", f"{nets}:make_model")
    board = rows(output)
    assert board.loc["vanilla", "failed_cells"] == 0
    assert board.loc["vanilla", "backbone"] == "nets.py:make_model"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "{nets}:two_outputs"], "returns one tuple, not one tensor"),
        (["--model", "{nets}:lacking"], "nets.py has no 'lacking'"),
        (["--model", "pgd_at"], "'pgd_at' names no model. Give a Python function"),
        (["--model", "resnet5"], "'resnet5' names no model. Did you mean 'resnet50'? Give a Python function"),
        (["--weights", "w.pth"], "--weights FILE comes after the --model"),
        (
            ["--model", "{nets}:make_model", "--weights", "a.pth", "--weights", "b.pth"],
            "Two files of weights",
        ),
        (["--model", "{nets}:make_model", "--compute", "equal-passes"], "'compute' has no effect"),
        (["--model", "{nets}:make_model", "--tune", "3"], "--tune chooses parameters of trainings"),
        (["--model", "{nets}:make_model", "--model", "{nets}:make_model[name=pixels]"], "pixels"),
        (["--model", "{nets}:make_model", "--save-images", "-1"], "save_images"),
    ],
)
def test_a_wrong_command_is_one_line(run, nets, capsys, arguments, message):
    run(*(argument.format(nets=nets) for argument in arguments), status=2)
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.slow
def test_the_record_says_what_was_handled(run, nets):
    output = run("--model", f"{nets}:in_half")
    records = [json.loads(path.read_text()) for path in (output / "store" / "models").glob("*.json")]
    notes = [note for record in records for note in record["notes"]]
    assert notes == ["its weights were float16, and are used as float32"]
    assert notes[0] in (output / "leaderboard.md").read_text()


def test_weights_go_with_a_path_in_quotes():
    from benchmark.cli.options import build_parser

    given = build_parser().parse_args(["--model", '"/my nets/n.py:make"[dim=3]', "--weights", "my, w.pth"])
    parsed = parse_spec(given.models[0])
    assert parsed.name == "/my nets/n.py:make"
    assert parsed.parameters == {"dim": "3", "weights": "my, w.pth"}


def test_a_dry_run_without_the_data_set_takes_a_network_without_bias(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DML_BENCHMARK_DATA", str(tmp_path / "none"))
    path = tmp_path / "bare.py"
    path.write_text(
        "from torch import nn\n\ndef make():\n"
        "    return nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(48, 8, bias=False))\n"
    )
    run("--model", f"{path}:make", "--dry-run", datasets=["cub200"], eps=[0.01])
    assert "Cost:" in capsys.readouterr().out
