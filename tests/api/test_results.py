import math

import pandas as pd
import pytest
from matplotlib.figure import Figure

from benchmark import Results, UsageError, load_results
from benchmark.report import write_report

from ..report.fake_run import FakeRun


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    output = tmp_path_factory.mktemp("run")
    FakeRun(checks={"pgd_at": {"unbounded": "fail"}}, eps=(0.1, 0.05)).write(output)
    return output


@pytest.fixture(scope="module")
def results(folder):
    return load_results(folder)


@pytest.mark.usefixtures("without_figures")
def test_the_frames_are_those_of_the_csv_files_but_read_from_the_records(tmp_path):
    FakeRun(weakness={"vanilla": 0.95, "pgd_at": 0.3}, curve={}).write(tmp_path)
    write_report(tmp_path)
    (tmp_path / "leaderboard.csv").rename(tmp_path / "leaderboard_before.csv")
    (tmp_path / "cells.csv").rename(tmp_path / "cells_before.csv")
    results = load_results(tmp_path)
    for name in ("leaderboard", "cells"):
        written = pd.read_csv(tmp_path / f"{name}_before.csv", keep_default_na=False, dtype=str)
        (tmp_path / "again.csv").write_text(getattr(results, name).to_csv(index=False))
        again = pd.read_csv(tmp_path / "again.csv", keep_default_na=False, dtype=str)
        pd.testing.assert_frame_equal(again, written)
    assert results.leaderboard["worst_r1"].between(0, 1).all()


def test_a_row_holds_the_scores_of_the_leaderboard(results):
    row = results.row("pgd_at", eps=0.1)
    frame = results.leaderboard
    line = frame[(frame.defense == "pgd_at") & (frame.eps == 0.1)].iloc[0]
    assert (row.name, row.spec, row.dataset, row.norm, row.eps) == ("pgd_at", "pgd_at", "glyphs", "linf", 0.1)
    assert row.rank == line["rank"] and row.rank_interval == (line.rank_low, line.rank_high)
    assert row.seeds == (0, 1)
    for name in ("clean_ami", "clean_r1", "worst_ami", "worst_nmi", "worst_r1"):
        case, metric = name.split("_")
        assert getattr(getattr(row, case), metric) == pytest.approx(line[name], abs=1e-6)
    assert row.worst_attacks["retrieval-query"] == line.worst_attack_retrieval
    assert row.attacks[line.worst_attack_retrieval].r1 >= row.worst.r1
    assert row.checks["unbounded"] == "fail" and row.failing == ("unbounded",)
    assert row.checks_summary == line.checks == "fail: unbounded"
    assert not row.reference and row.failed_cells == 0


def test_a_reference_has_no_rank(results):
    row = results.row("pixels", eps="0.1")
    assert row.reference and row.rank is None and row.rank_interval is None
    assert math.isnan(row.train_cost) or row.train_cost >= 0


@pytest.mark.parametrize(
    ("name", "setting", "message"),
    [
        (
            "pgdat",
            {},
            r"Unknown row 'pgdat'. Did you mean 'pgd_at'\? Valid: eat\[members=3\], pgd_at",
        ),
        ("pgd_at", {}, r"2 rows fit; choose by eps= one of 0.05, 0.1"),
        ("pgd_at", {"eps": 0.2}, r"Unknown eps '0.2'. .*Valid: 0.05, 0.1"),
        ("pgd_at", {"eps": "8/x"}, "eps must be a number, as 0.1 or '8/255', not '8/x'"),
        ("pgd_at", {"norm": "l2"}, "Unknown norm 'l2'.*Valid: linf"),
        ("pgd_at", {"dataset": "cub"}, "Unknown dataset 'cub'.*Valid: glyphs"),
        ("pgd_at", {"epsilon": 1}, "Unknown argument 'epsilon'.*eps"),
    ],
)
def test_a_row_that_there_is_not_or_several_get_one_line_with_the_list(results, name, setting, message):
    with pytest.raises(UsageError, match=message):
        results.row(name, **setting)


def test_tables_are_chosen_by_their_setting(results):
    assert results.table(eps="0.05").key.eps == 0.05
    with pytest.raises(UsageError, match="2 tables fit; choose by eps= one of"):
        results.table()


def test_latex(results):
    text = results.to_latex(eps=0.1)
    assert r"\begin{tabular}" in text and r"\texttt{pgd\_at}" in text
    assert f"{100 * results.row('pgd_at', eps=0.1).worst.r1:.1f}" in text
    with pytest.raises(UsageError, match="2 tables fit"):
        results.to_latex()


def test_figures_are_returned_and_not_written(results, folder):
    for kind, axes in (("clean_vs_worst", 1), ("heatmap", 1), ("eps", 1), ("training", 1), ("cost", 1)):
        figure = results.plot(kind, eps=0.1)
        assert isinstance(figure, Figure) and len(figure.axes) >= axes
    assert not (folder / "figures").exists()


@pytest.mark.parametrize(
    ("kind", "given", "message"),
    [
        ("heatmaps", {"eps": 0.1}, "Unknown kind of figure 'heatmaps'. Did you mean 'heatmap'"),
        ("heatmap", {}, "2 tables fit"),
        ("tsne", {"eps": 0.1, "row": "pgd"}, "Unknown row 'pgd'.*pgd_at"),
    ],
)
def test_what_cannot_be_drawn_gets_one_line(results, kind, given, message):
    with pytest.raises(UsageError, match=message):
        results.plot(kind, **given)


def test_a_figure_without_records_gets_one_line(tmp_path):
    FakeRun(curve={}, weakness={"vanilla": 0.9}).write(tmp_path)
    with pytest.raises(UsageError, match="There is nothing to draw for 'eps'"):
        load_results(tmp_path).plot("eps")


def test_a_run_without_own_models_has_no_verdict(results):
    assert results.verdict() == ""


def test_the_short_forms_are_short(results):
    lines = repr(results).splitlines()
    assert lines[0].startswith("Results(") and "8 rows" in lines[0]
    assert len(lines) == 9
    assert any("pgd_at: clean AMI" in line and "checks fail: unbounded" in line for line in lines)
    html = results._repr_html_()
    assert html.count("<tr") == 9 and "pgd_at" in html


def test_failures_are_listed_once(tmp_path):
    FakeRun(failed_attacks={("vanilla", "noise"): "it left its ball"}).write(tmp_path)
    assert Results(tmp_path).failures == ["it left its ball"]


def test_a_folder_without_a_run(tmp_path):
    with pytest.raises(UsageError, match=r"There is no run in"):
        load_results(tmp_path)


def test_results_load_without_torch(folder):
    import subprocess
    import sys

    code = (
        f"import sys, benchmark; benchmark.load_results({str(folder)!r}); assert 'torch' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
