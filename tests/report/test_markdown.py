import pytest

from benchmark.records import Store
from benchmark.report.csv_files import leaderboard_frame
from benchmark.report.figures import TableFigures
from benchmark.report.markdown import render

from .fake_run import BOTH, CHECKS, CLUSTERING, EQUAL_PASSES, NOISE, RETRIEVAL, FakeRun

SQUARE = "square[objective=neighbour]"
WEAKNESS = {"best": 0.1, "mid": 0.4, "weak": 0.9}


@pytest.mark.parametrize("scenarios", [(RETRIEVAL,), (CLUSTERING,), (CLUSTERING, RETRIEVAL)])
def test_the_page_says_how_worst_cases_of_randomized_rows_are_made(tables_of, tmp_path, scenarios):
    fake = {"weakness": WEAKNESS, "references": (), "seeds": (0,), "scenarios": scenarios, "curve_eps": ()}
    said = {}
    for name, randomised in (("random", ("mid",)), ("fixed", ())):
        run, tables = tables_of(FakeRun(**fake, randomised=randomised), name)
        said[name] = " ".join(render(run, tables, [TableFigures()], tmp_path).split())
    above = "unless one attack for all queries leaves less."
    below = "The worst AMI of a randomized row is a minimum over noisy means of repeats"
    assert (above in said["random"]) == (RETRIEVAL in scenarios)
    assert (below in said["random"]) == (CLUSTERING in scenarios)
    assert "randomized row" not in said["fixed"]


@pytest.mark.slow
def test_the_page_reports_what_was_run(full_report):
    output, paths = full_report
    page = (output / "leaderboard.md").read_text(encoding="utf-8")
    for heading in (
        "What was run",
        "How to read this",
        "What to doubt",
        "Cells without metrics",
        "How to reproduce",
    ):
        assert f"## {heading}" in page
    for path in paths:
        if path.suffix == ".png":
            assert f"](figures/{path.name})" in page
    assert "the attack left its ball \\| by far" in page
    assert "training failed: the loss is not a number" in page
    assert "not run yet" in page
    assert "data set cub: not on this machine" in page
    assert "`pgd_at`: adversarial training (Madry et al. 2018)." in page
    assert "reconstruction of Ke 2025" in page
    assert "uncommitted changes" in page
    assert "one training seed" not in page
    assert '--defenses "eat[members=3]"' in page
    assert "--output reproduced" in page
    assert "{{" not in page and "None" not in page and "nan" not in page


def test_the_page_of_another_run_has_no_sections_that_do_not_apply(tables_of, tmp_path):
    config = {"preset": "smoke", "attacks": ["noise"], "eps": [8 / 255], "plugin": ["my plugin.py"]}
    fake = FakeRun(
        weakness={"mine": 0.5},
        references=(),
        attacks={NOISE: 0.1},
        curve={},
        curve_eps=(),
        seeds=(0,),
        scenarios=(RETRIEVAL,),
        eps=(8 / 255,),
        suite=NOISE,
        config=config,
        command="python run_benchmark.py --plugin 'my plugin.py' --attacks noise --eps 8/255",
    )
    run, tables = tables_of(fake)
    page = render(run, tables, [TableFigures()], tmp_path)
    for absent in (
        "Ke 2025",
        "AMI",
        "t-SNE",
        "Cells without metrics",
        "uncommitted",
        "suite `",
        "References",
        "eps_",
    ):
        assert absent not in page
    assert "one training seed" in page
    assert "smoke" in page
    for option in ("--eps 8/255", "--attacks noise", '--plugin "my plugin.py"', "--seeds 0"):
        assert option in page
    assert "L∞ 8/255" in page


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_page_says_in_which_precision_attacks_searched(tables_of, tmp_path, precision):
    small = {"weakness": WEAKNESS, "references": (), "seeds": (0,), "scenarios": (RETRIEVAL,)}
    run, tables = tables_of(FakeRun(**small, config={"attack_precision": precision}))
    page = render(run, tables, [TableFigures()], tmp_path)
    assert ("Attacks search in bfloat16; what they find" in page) == (precision == "bfloat16")
    assert "search in float32" not in page


def test_the_page_claims_no_more_than_was_run(tables_of, tmp_path):
    small = {"weakness": WEAKNESS, "references": (), "seeds": (0,), "scenarios": (RETRIEVAL,)}
    pages = {}
    for name, options in {
        "none": {},
        "all": {"checks": {}, "checking": {SQUARE: 1.0}},
        "some": {"checks": {"best": {"collapsed": "fail"}, "mid": {"rescored": "not run"}}},
    }.items():
        run, tables = tables_of(FakeRun(**small, **options), name)
        pages[name] = " ".join(render(run, tables, [TableFigures()], tmp_path).split())
    heading = "### Are the numbers true?"
    assert heading not in pages["none"] and "were not run: whether" in pages["none"]
    assert heading in pages["all"] and "Passing all of them is not a proof" in pages["all"]
    assert "Another 3 cells are used only by the checks." in pages["all"]
    assert (
        "Used only by the checks** (L∞ 0.1): - `square neighbour`: `square[objective=neighbour]`"
        in pages["all"]
    )
    assert "What collapsed asks |" in pages["all"] and "\u2020: fails" not in pages["all"]
    assert "Some of the checks were not run" in pages["some"]
    assert "`best` **fails** `collapsed`" in pages["some"]
    assert "`mid` is the most robust of 3" in pages["some"]  # a failing row does not win
    assert "only by the checks" not in pages["none"]


@pytest.mark.slow
def test_the_page_has_both_tables_and_the_details_once(report_of_both_modes):
    output, paths = report_of_both_modes
    page = (output / "leaderboard.md").read_text(encoding="utf-8")
    for mode in ("equal epochs", "equal passes"):
        assert page.count(f"\n## glyphs, smallconv, proxy_anchor, L∞ 0.1, {mode}\n") == 1
    assert "spent 27 cost units" in page
    for once in ("### Each attack alone", "### Are the numbers true?", "### Over budgets", "## Training"):
        assert page.count(once) == 1
    assert page.count("**fails** `collapsed`: ") == 2  # the reason is in both sections
    names = {path.name for path in paths}
    for name in (
        "clean_vs_worst_glyphs_smallconv_proxy_anchor_linf_0.1",
        "training_glyphs_smallconv_proxy_anchor",
    ):
        assert {f"{name}.png", f"{name}_equal-passes.png"} <= names
    assert not any(name.startswith(("heatmap", "eps", "tsne")) and EQUAL_PASSES in name for name in names)
    for path in paths:
        assert path.suffix != ".png" or f"](figures/{path.name})" in page
    cells = len({ref.id for ref in Store(output).manifest().cells})
    assert f"{cells} of {cells} cells" in page
    assert page.count("--compute equal-passes") == page.count("--compute equal-epochs") == 1


@pytest.mark.slow
def test_the_page_names_the_validation_classes(full_report):
    output, paths = full_report
    assert "training_glyphs_smallconv_proxy_anchor.png" in {path.name for path in paths}
    page = " ".join((output / "leaderboard.md").read_text(encoding="utf-8").split())
    assert "classes of the training split, held out of training; test classes are never used" in page


def test_a_new_check_of_the_manifest_counts_everywhere(tables_of, tmp_path):
    names = (*CHECKS[:3], "brand_new", *CHECKS[3:])
    fake = FakeRun(
        weakness=WEAKNESS, references=(), check_names=names, checks={"best": {"brand_new": "fail"}}
    )
    run, tables = tables_of(fake)
    frame = leaderboard_frame(run, tables)
    shown = [name.removeprefix("check_") for name in frame.columns if name.startswith("check_")]
    assert shown == list(names)
    assert list(frame.defense) == ["mid", "weak", "best"] and list(frame["rank"]) == [1, 2, 3]
    assert frame.worst_ami.idxmax() == 2
    assert list(frame.check_brand_new) == ["pass", "pass", "fail"]
    assert list(frame.checks) == ["pass", "pass", "fail: brand_new"]
    page = render(run, tables, [TableFigures()], tmp_path)
    assert "| `brand_new` | What brand_new asks | 0.1 | 0.1 | **60.0** \u2020 |" in page
    assert "| **fails** `brand_new` |" in page and "`best` **fails** `brand_new`: " in page
    assert "`mid` is the most robust of 3" in page


def test_other_scenarios_have_a_section(tables_of, tmp_path):
    run, tables = tables_of(FakeRun(scenarios=(*BOTH, "clustering[fraction=0.5]")))
    page = render(run, tables, [TableFigures()], tmp_path)
    assert "### Other scenarios" in page and "| `clustering[fraction=0.5]`, AMI |" in page


@pytest.mark.slow
def test_long_names_are_written_once_and_paths_nowhere(report_with_paths):
    output, paths = report_with_paths
    page = (output / "leaderboard.md").read_text(encoding="utf-8")
    board, _, commands = page.partition("## How to reproduce a row")
    assert "/home/me" not in page
    assert board.count("birds[linf=8/255,size=32]") == board.count("resnet18[pretrained=r18.pt]") == 1
    assert "`birds[linf=8/255,size=32]` (above: `birds`)" in board
    assert "`birds`: photographs of birds." in board
    assert "\n## birds, resnet18, proxy_anchor, L\u221e 0.1, equal epochs\n" in board
    assert "| birds, resnet18, proxy_anchor | `vanilla` |" in board
    assert '--datasets "folder:birds[linf=8/255,size=32]"' in commands
    assert '--backbones "resnet18[pretrained=r18.pt]"' in commands
    assert not any("home" in path.name for path in paths)
    assert "clean_vs_worst_birds-linf-8-255-size-32" in " ".join(path.name for path in paths)


def test_the_first_screen_explains_concludes_and_shows_the_main_table(tables_of, tmp_path):
    run, tables = tables_of(FakeRun(weakness=WEAKNESS, references=()))
    figure = TableFigures(clean_vs_worst=tmp_path / "figures" / "clean.png")
    page = render(run, tables, [figure], tmp_path)
    parts = [
        "- **AMI** (clustering): ", "- **R@1** (retrieval): ", "## glyphs", "`best` is the most robust",
        "- No control, ", "- Do not believe", "](figures/clean.png)", "| rank | defense | clean AMI, % |",
        "### More columns", "### Each attack", "## What was run", "## How to read this",
    ]  # fmt: skip
    places = [page.index(part) for part in parts]
    assert places == sorted(places)


def test_long_attacks_have_short_names_with_a_legend(tables_of, tmp_path):
    long = "square[objective=neighbour,p_init=0.3,queries=60,start=pgd_decay[objective=neighbour,steps=5]]"
    description = "random search over square windows."
    fake = FakeRun(
        weakness=WEAKNESS,
        references=(),
        attacks={long: 1.0, NOISE: 0.1},
        descriptions={long: description, NOISE: description},
    )
    run, tables = tables_of(fake)
    page = render(run, tables, [TableFigures()], tmp_path)
    assert page.count(long) == 1 and f"- `square`: `{long}`" in page
    assert page.count(description) == 1 and f"- `noise`, `square`: {description}" in page


def test_attacks_are_described_by_their_parts_where_the_run_recorded_them(tables_of, tmp_path):
    run, tables = tables_of(FakeRun(weakness=WEAKNESS, references=(), descriptions={NOISE: "A whole."}))
    run.manifest = run.manifest.model_copy(update={"components": {"noise": "A part."}})
    page = render(run, tables, [TableFigures()], tmp_path)
    assert "- `noise`: A part." in page and "A whole." not in page


@pytest.mark.parametrize("commits", [{}, {"best": "aaaaaaa"}])
def test_the_commit_to_check_out_is_one(tables_of, tmp_path, commits):
    run, tables = tables_of(FakeRun(weakness=WEAKNESS, references=(), commits=commits))
    page = " ".join(render(run, tables, [TableFigures()], tmp_path).split())
    assert f"Check out `{commits.get('best', '0123abc')}`, the commit of the row's records, install" in page
    assert ("records of commits `0123abc`, `aaaaaaa`, this page of `" in page) == bool(commits)
    assert ("Records come from several commits" in page) == bool(commits)


def test_what_was_not_committed_is_not_checked_out(tables_of, tmp_path):
    run, tables = tables_of(FakeRun(weakness=WEAKNESS, references=(), commits={"best": "aaaaaaa-dirty"}))
    page = " ".join(render(run, tables, [TableFigures()], tmp_path).split())
    assert "Check out `aaaaaaa`, add the changes that were not committed when the row's records were" in page


def test_of_several_commits_of_a_row_that_of_the_newest_record_is_checked_out(tables_of, tmp_path):
    run, tables = tables_of(FakeRun(weakness=WEAKNESS, references=()))
    best = next(row for row in tables[0].rows if row.name == "best")
    for index, cell in enumerate(best.cells):
        made_by = cell.record.provenance.model_copy(
            update={"commit": f"commit{index % 2}", "created": f"20{30 + index % 2}-01-01T00:00:00+00:00"}
        )
        object.__setattr__(cell, "record", cell.record.model_copy(update={"provenance": made_by}))
    page = " ".join(render(run, tables, [TableFigures()], tmp_path).split())
    said = "the commit of the row's newest record (the older ones are of `commit0`, `0123abc`), install"
    assert f"Check out `commit1`, {said}" in page
    run.manifest = run.manifest.model_copy(update={"merged": ["python run_benchmark.py"]})
    page = " ".join(render(run, tables, [TableFigures()], tmp_path).split())
    assert "Check out the commit of the row's records, `commit1` or `commit0`, `0123abc` (see `cells" in page


def test_the_row_without_a_defense_is_not_counted_among_the_defenses(tables_of, tmp_path):
    for weakness, said in [
        ({"vanilla": 0.9, "eat": 0.2}, "trained with 1 defense and without one (`vanilla`) were attacked"),
        ({"vanilla": 0.9}, "trained without a defense (`vanilla`) were attacked"),
        ({"eat": 0.2, "pgd_at": 0.3}, "trained with 2 defenses were attacked"),
        (
            {"vanilla": 0.9, "vanilla[epochs_scale=3]": 0.8, "eat": 0.2},
            "trained with 1 defense and without one (`vanilla`, `vanilla[epochs_scale=3]`) were attacked",
        ),
    ]:
        run, tables = tables_of(FakeRun(weakness=weakness, references=(), seeds=(0,)))
        page = " ".join(render(run, tables, [TableFigures()], tmp_path).split())
        assert said in page


def test_a_page_of_references_alone_does_not_say_that_no_attack_is_done(tables_of, tmp_path):
    run, tables = tables_of(FakeRun(weakness={"pixels": 0.9}))
    page = render(run, tables, [TableFigures()], tmp_path)
    assert "There is no rank, since only references were run" in page and "is done yet" not in page
    assert "Embedding models that need no training were attacked" in " ".join(page.split())
