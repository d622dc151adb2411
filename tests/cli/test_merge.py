"""`--merge`: one board of several output folders."""

import json
import webbrowser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from benchmark.cli import main
from benchmark.cli.merge import merge
from benchmark.core.errors import UsageError
from benchmark.records import Store
from benchmark.report import write_report

from ..report.fake_run import FakeRun

pytestmark = pytest.mark.usefixtures("without_figures")

SMALL: dict[str, Any] = {"weakness": {"vanilla": 0.95, "pgd_at": 0.3}, "references": (), "curve_eps": ()}


def folder(path: Path, **changes: Any) -> Path:
    FakeRun(**{**SMALL, "checks": {}, **changes}).write(path)
    return path


def board(output: Path) -> pd.DataFrame:
    write_report(output)
    return pd.read_csv(output / "leaderboard.csv")


def refused(folders: list[Path], output: Path, match: str) -> None:
    with pytest.raises(UsageError, match=match) as error:
        merge(folders, output, "command")
    assert "\n" not in str(error.value)
    assert not (output / "store" / "run.json").exists() or output in folders


def test_seeds_of_two_folders_are_one_board(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = folder(tmp_path / "a", seeds=(0,)), folder(tmp_path / "b", seeds=(1,))
    whole = folder(tmp_path / "whole", seeds=(0, 1))
    output = tmp_path / "merged"
    assert main(["--merge", str(a), str(b), "--output", str(output)]) == 0
    assert "cells of 4 models are merged from 2 folders." in capsys.readouterr().out
    write_report(whole)
    for name in ("leaderboard.csv", "cells.csv"):
        assert (output / name).read_bytes() == (whole / name).read_bytes()
    assert "--merge a b" in (output / "leaderboard.md").read_text()


def test_a_merge_is_exported_and_opened_as_a_run_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda address: opened.append(address) or True)
    folders = [str(folder(tmp_path / name, seeds=(seed,))) for seed, name in enumerate("ab")]
    output = tmp_path / "merged"
    command = ["--merge", *folders, "--output", str(output)]
    assert main([*command, "--export", "pdf"]) == 2
    assert "Unknown format of --export 'pdf'" in capsys.readouterr().err and not output.exists()
    assert main([*command, "--export", "json", "latex", "--open"]) == 0
    assert json.loads((output / "results.json").read_text(encoding="utf-8"))["tables"]
    assert "tabular" in (output / "leaderboard.tex").read_text(encoding="utf-8")
    assert opened == [(output / "leaderboard.html").as_uri()]


def test_data_sets_of_two_folders_are_two_boards(tmp_path: Path) -> None:
    folders = [folder(tmp_path / name, datasets=(name,), seeds=(0,)) for name in ("glyphs", "omniglot")]
    merge(folders, tmp_path / "merged", "command")
    assert set(board(tmp_path / "merged")["dataset"]) == {"glyphs", "omniglot"}


def test_a_model_that_both_have_cells_of_is_checked_anew(tmp_path: Path) -> None:
    folders = [folder(tmp_path / str(eps), eps=(eps,), seeds=(0,)) for eps in (0.1, 0.2)]
    lines = merge(folders, tmp_path / "merged", "command")
    assert "The checks of 2 models are done anew: several folders have cells of them." in lines
    found = board(tmp_path / "merged")
    assert sorted(found["eps"]) == [0.1, 0.1, 0.2, 0.2]
    store = Store(tmp_path / "merged")
    manifest = store.manifest()
    for model in manifest.models:
        record = store.checks(model.id, "linf", 0.2)
        assert record is not None
        assert record.cells == sorted({ref.id for ref in manifest.cells if ref.model_id == model.id})


def test_what_failed_in_one_folder_is_taken_from_the_other(tmp_path: Path) -> None:
    failed = {("pgd_at", "noise"): "memory ran out"}
    folders = [folder(tmp_path / "a", failed_attacks=failed), folder(tmp_path / "b")]
    merge(folders, tmp_path / "merged", "command")
    assert board(tmp_path / "merged")["failed_cells"].tolist() == [0, 0]


def test_a_merge_can_be_done_again_and_merged(tmp_path: Path) -> None:
    a, b, c = (folder(tmp_path / str(seed), seeds=(seed,)) for seed in range(3))
    merge([a, b, c], tmp_path / "merged", "command")
    merge([a, b], tmp_path / "merged", "command")
    assert board(tmp_path / "merged")["n_seeds"].tolist() == [2, 2]
    merge([tmp_path / "merged", c], tmp_path / "more", "command")
    assert board(tmp_path / "more")["n_seeds"].tolist() == [3, 3]
    assert len(Store(tmp_path / "more").manifest().merged) == 1  # the invented runs have one command


def test_folders_that_cannot_be_merged(tmp_path: Path) -> None:
    a, b = folder(tmp_path / "a", seeds=(0,)), folder(tmp_path / "b", seeds=(1,))
    output = tmp_path / "merged"
    refused([a], output, "takes two output folders or more; it was given '.*a' alone")
    refused([a, b, a], output, "was given the folder '.*a' twice")
    refused([a, b], b, "is one of the folders to merge")
    refused([a, tmp_path / "none"], output, "There is no run in '.*none'")
    with pytest.raises(UsageError, match="holds a run of its own"):
        merge([a, b], folder(tmp_path / "other"), "command")
    merge([a, b], output, "command")
    (output / "store" / "models" / "a.safetensors").touch()  # of a model that was trained there since
    with pytest.raises(UsageError, match="holds a run of its own"):
        merge([a, b], output, "command")


def test_records_that_are_merged_are_not_replaced_by_the_output(tmp_path: Path) -> None:
    a, b = folder(tmp_path / "a", seeds=(0,)), folder(tmp_path / "store" / "b", seeds=(1,))
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / "store").symlink_to(a / "store")
    for output in (tmp_path, a / "store" / "cells", linked):
        with pytest.raises(UsageError, match=r"would lie in those of '.*', which are merged, or hold them"):
            merge([a, b], output, "command")
    merge([a, b], a / "merged", "command")


def test_a_merged_grid_holds_all_that_the_grids_say(tmp_path: Path) -> None:
    folders = [folder(tmp_path / str(seed), seeds=(seed,)) for seed in range(2)]
    for path, name in zip(folders, "xy", strict=True):
        said = {"controls": {name: ["pgd_at"]}, "components": {name: "A part."}}
        Store(path).save_manifest(Store(path).manifest().model_copy(update=said))
    merge(folders, tmp_path / "merged", "command")
    found = Store(tmp_path / "merged").manifest()
    assert found.controls.keys() == found.components.keys() == {"x", "y"}
    given = {name for path in folders for name in Store(path).manifest().model_dump(exclude_defaults=True)}
    assert given | {"merged"} == found.model_dump(exclude_defaults=True).keys()


def test_the_board_of_a_merge_can_be_exported_and_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda address: shown.append(address) or True)
    folders = [str(folder(tmp_path / str(seed), seeds=(seed,))) for seed in range(2)]
    output = tmp_path / "merged"
    asked = ["--merge", *folders, "--output", str(output)]
    assert main([*asked, "--dry-run"]) == 2 and not output.exists()
    assert "--merge runs nothing, and does not read --dry-run" in capsys.readouterr().err
    assert main([*asked, "--export", "none"]) == 2 and not output.exists()
    assert main([*asked, "--export", "json", "--open"]) == 0
    assert (output / "results.json").is_file()
    assert shown == [(output / "leaderboard.html").as_uri()]


def test_versions_of_the_protocol_are_not_mixed(tmp_path: Path) -> None:
    a, b = folder(tmp_path / "a", seeds=(0,)), folder(tmp_path / "b", seeds=(1,))
    store = Store(b)
    manifest = store.manifest()
    later = manifest.provenance.model_copy(update={"protocol": "2"})
    store.save_manifest(manifest.model_copy(update={"provenance": later}))
    refused([a, b], tmp_path / "merged", r"different versions of the protocol \(1 in '.*a', 2 in '.*b'\)")


def test_different_values_of_a_cell_are_refused(tmp_path: Path) -> None:
    a, b = folder(tmp_path / "a", seeds=(0,)), folder(tmp_path / "b", seeds=(0,))
    merge([a, b], tmp_path / "same", "command")
    store = Store(b)
    cell = next(ref for ref in store.manifest().cells if ref.key.scenario == "clustering")
    record = store.cell(cell.id)
    assert record is not None
    other = record.model_copy(update={"metrics": {**record.metrics, "ami": 0.125}})
    store.save_cell(other, store.arrays(cell.id))
    refused([a, b], tmp_path / "merged", r"on \S+ \(seed 0, .*has different ami: .* in '.*a', 0.125 in '.*b'")


def test_seeds_of_different_recipes_are_refused(tmp_path: Path) -> None:
    a, b = (
        folder(
            tmp_path / str(seed), seeds=(seed,), training={"pgd_at": {"recipe": {"epochs": epochs, "lr": 1}}}
        )
        for seed, epochs in ((0, 24), (1, 60))
    )
    refused(
        [a, b],
        tmp_path / "merged",
        r"of pgd_at were trained with different recipes: \{'epochs': 24\} in '.*0', \{'epochs': 60\} in",
    )


def changed_records(output: Path, name: str, **identity: Any) -> None:
    """Changes the identity of every record of a defense, as other code would have made it."""
    store = Store(output)
    for ref in store.manifest().models:
        record = store.model(ref.id)
        assert record is not None
        if ref.key.defense == name:
            store.save_model(record.model_copy(update={"identity": {**record.identity, **identity}}))


def test_seeds_that_other_code_has_trained_are_refused(tmp_path: Path) -> None:
    a, b = (folder(tmp_path / str(seed), seeds=(seed,)) for seed in (0, 1))
    for output in (a, b):
        changed_records(output, "pgd_at", source="aaaa", eps=0.1, seed=output.name)
    merge([a, b], tmp_path / "same", "command")
    changed_records(b, "pgd_at", source="bbbb")
    refused([a, b], tmp_path / "merged", r"seeds of pgd_at were trained with different code.*'aaaa'.*'bbbb'")


def test_seeds_that_other_code_has_attacked_are_refused(tmp_path: Path) -> None:
    a, b = (folder(tmp_path / str(seed), seeds=(seed,)) for seed in (0, 1))
    for output, source in ((a, "aaaa"), (b, "bbbb")):
        store = Store(output)
        ref = next(ref for ref in store.manifest().cells if ref.key.defense == "pgd_at")
        record = store.cell(ref.id)
        assert record is not None
        store.save_cell(record.model_copy(update={"identity": {"source": source}}), store.arrays(ref.id))
    refused([a, b], tmp_path / "merged", r"on pgd_at, \S+, were computed by different code.*'aaaa'.*'bbbb'")


def test_runs_in_two_norms_are_merged(tmp_path: Path) -> None:
    folders = []
    for norm, whole in (("linf", 1.0), ("l2", 28.0)):
        folders.append(folder(tmp_path / norm, seeds=(0,), norm=norm))
        store = Store(folders[-1])
        ranges = {"glyphs": {norm: whole}}
        store.save_manifest(store.manifest().model_copy(update={"whole_range": ranges}))
    merge(folders, tmp_path / "merged", "command")
    assert Store(tmp_path / "merged").manifest().whole_range == {"glyphs": {"linf": 1.0, "l2": 28.0}}


def test_rows_of_fewer_seeds_are_named(tmp_path: Path) -> None:
    a = folder(tmp_path / "a", seeds=(0,))
    b = folder(tmp_path / "b", seeds=(2,), weakness={"pgd_at": 0.3})
    merge([a, b], tmp_path / "merged", "command")
    write_report(tmp_path / "merged")
    assert (
        "- `vanilla`: only 1 of 2 training seeds (0)." in (tmp_path / "merged" / "leaderboard.md").read_text()
    )


def test_records_that_are_missing_or_damaged_are_counted(tmp_path: Path) -> None:
    a, b = folder(tmp_path / "a", seeds=(0,)), folder(tmp_path / "b", seeds=(1,))
    cells = sorted((b / "store" / "cells").glob("*.json"))
    cells[0].unlink()
    cells[1].write_text("{")
    next((b / "store" / "models").glob("*.json")).unlink()
    lines = merge([a, b], tmp_path / "merged", "command")
    assert [line.split(".")[0] for line in lines if str(b) in line][:2] == [
        f"In '{b}' there is no record of 2 cells, or a damaged one",
        f"In '{b}' there is no record of 1 model, or a damaged one",
    ]
    assert not any(str(a) in line for line in lines[:3])


def test_different_settings_and_plugins_are_refused(tmp_path: Path) -> None:
    a = folder(tmp_path / "a", seeds=(0,), plugins={"pgd_at": "aaaa"}, config={"evaluation": {"eot": 5}})
    b = folder(tmp_path / "b", seeds=(1,), plugins={"pgd_at": "bbbb"}, config={"evaluation": {"eot": 5}})
    c = folder(tmp_path / "c", seeds=(2,), config={"evaluation": {"eot": 9}})
    refused([a, b], tmp_path / "merged", "The code of the plugin of pgd_at differs: aaaa in")
    refused([a, c], tmp_path / "merged", r"different evaluation: \{'eot': 5\} in '.*a', \{'eot': 9\} in")


def test_the_command_line_needs_no_traceback(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--merge", str(tmp_path), "--output", str(tmp_path / "merged")]) == 2
    assert capsys.readouterr().err.startswith("error: --merge takes two output folders or more")
