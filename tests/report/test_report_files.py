import shutil
import subprocess
import sys

import pandas as pd
import pytest
from fake_run import NEIGHBOUR, NOISE, RETRIEVAL, FakeRun
from matplotlib import image

from benchmark.core.errors import UsageError
from benchmark.report import write_report
from benchmark.report.style import format_eps, looks, slug, wrapped

NAME = "glyphs_smallconv_proxy_anchor_linf_0.1"


def test_files_are_those_returned(full_report):
    output, paths = full_report
    made = {path for path in output.rglob("*") if path.is_file() and "store" not in path.parts}
    assert set(paths) == made
    names = {path.name for path in paths}
    assert {"leaderboard.csv", "cells.csv", "leaderboard.md"} <= names
    assert {f"clean_vs_worst_{NAME}.png", f"heatmap_{NAME}.png", f"eps_{NAME}.png"} <= names
    for defense in ("vanilla", "pgd_at", "eat-members-3", "pixels"):
        assert f"tsne_{NAME}_{defense}.png" in names
    assert f"tsne_{NAME}_trades.png" not in names


def test_figures_are_pictures(full_report):
    for path in full_report[1]:
        if path.suffix == ".png":
            pixels = image.imread(path)
            assert min(pixels.shape[:2]) > 250
            assert pixels[..., :3].std() > 0.02


def test_csv_reads_back(full_report):
    output, _ = full_report
    board = pd.read_csv(output / "leaderboard.csv")
    assert board["rank"].dropna().tolist() == sorted(board["rank"].dropna())
    assert board.worst_ami.dropna().between(-1, 1).all()
    assert (board.checks == "not run").all()
    assert board.set_index("defense").loc["pixels", "commit"] == "0123abc" or board.commit.notna().any()
    cells = pd.read_csv(output / "cells.csv", keep_default_na=False)
    assert set(cells.status) == {"done", "failed"}
    assert "nan" not in (output / "leaderboard.csv").read_text().lower()


def test_page_says_what_is_so(full_report):
    output, paths = full_report
    page = (output / "leaderboard.md").read_text(encoding="utf-8")
    for heading in (
        "What was run",
        "How to read this",
        "What to doubt",
        "Cells without figures",
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


def test_page_of_another_run_says_nothing_that_is_not_so(tmp_path):
    config = {"preset": "smoke", "attacks": ["noise"], "eps": [8 / 255], "plugin": ["my plugin.py"]}
    FakeRun(
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
    ).write(tmp_path)
    write_report(tmp_path)
    page = (tmp_path / "leaderboard.md").read_text(encoding="utf-8")
    for absent in (
        "Ke 2025",
        "AMI",
        "t-SNE",
        "Cells without figures",
        "uncommitted",
        "suite `",
        "References",
        "eps_",
    ):
        assert absent not in page
    assert "one training seed" in page
    assert "smoke" in page
    for option in ("--eps 8/255", "--attacks noise", '--plugin "my plugin.py"', "--seeds 0", "--scenarios"):
        assert option in page or option == "--scenarios"
    assert "L∞ 8/255" in page


def test_report_twice_gives_the_same_bytes(tmp_path, full_report):
    output, paths = full_report
    shutil.copytree(output / "store", tmp_path / "store")
    figures = tmp_path / "figures"
    figures.mkdir()
    (figures / "heatmap_old_table.png").write_bytes(b"stale")
    (figures / "my_own.png").write_bytes(b"kept")
    again = write_report(tmp_path)
    assert [path.relative_to(tmp_path) for path in again] == [path.relative_to(output) for path in paths]
    for one, other in zip(paths, again, strict=True):
        assert one.read_bytes() == other.read_bytes(), one.name
    assert not (figures / "heatmap_old_table.png").exists()
    assert (figures / "my_own.png").exists()


def test_nothing_run_yet_still_gives_a_page(tmp_path):
    fake = FakeRun(weakness={"pgd_at": 0.3, "pixels": 0.5}, seeds=(0,), validated=False)
    fake.missing = {(d, a) for d in fake.weakness for a in (*fake.attacks, "none")}
    fake.write(tmp_path)
    names = {path.name for path in write_report(tmp_path)}
    assert names == {"leaderboard.csv", "cells.csv", "leaderboard.md"}
    assert "not run yet" in (tmp_path / "leaderboard.md").read_text(encoding="utf-8")
    assert pd.read_csv(tmp_path / "leaderboard.csv")["rank"].isna().all()


def test_a_folder_without_a_run_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match="Run the benchmark there first"):
        write_report(tmp_path)


def test_the_report_never_imports_torch(tmp_path):
    FakeRun(weakness={"pgd_at": 0.3}, references=(), seeds=(0,), attacks={NEIGHBOUR: 1.0}).write(tmp_path)
    code = (
        "import sys; from pathlib import Path; from benchmark.report import write_report;"
        f"write_report(Path({str(tmp_path)!r}));"
        "print([n for n in ('torch', 'attacks', 'defenses', 'benchmark.training') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("eps", [0.1, 8 / 255, 2 / 255, 0.2, 1.0, 1 / 3, 0.05])
def test_budgets_read_back_as_the_same_number(eps):
    text = format_eps(eps)
    above, _, below = text.partition("/")
    assert (float(above) / float(below) if below else float(text)) == eps


def test_looks_differ_even_for_many_defenses():
    names = [f"d{i}" for i in range(20)]
    dealt = looks(names, ["d0", "d1"])
    assert len(set(dealt.values())) == 20
    assert dealt == looks(reversed(names), ["d1", "d0"])


def test_slugs_and_labels_stay_short_and_distinct():
    assert slug("eat[members=5]") == "eat-members-5"
    long = [slug(f"eat[{'x' * 100}={i}]") for i in range(3)]
    assert len(set(long)) == 3 and max(map(len, long)) <= 80
    assert max(map(len, wrapped("eat[members=5,transfer=peers,split=none]").split("\n"))) <= 24
