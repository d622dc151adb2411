import pytest
from fake_run import FakeRun

from benchmark.report import write_report
from benchmark.report.style import looks
from benchmark.report.training_curves import fall, training_curves

DEFENSES = ("vanilla", "pgd_at", "eat[members=3]", "pixels")


def drawn(table):
    return training_curves(table, looks(DEFENSES, ["pixels"]))


def test_lines_and_marks_are_the_records(tables_of):
    run, (table,) = tables_of(FakeRun())
    figure = drawn(table)
    panels = {axes.get_title(loc="left").replace("\n", ""): axes for axes in figure.axes if axes.axison}
    assert set(panels) == set(DEFENSES) - {"pixels"}
    models = [m for m in run.models.values() if m.key.defense == "pgd_at"]
    for name in ("clean_map_r", "attacked_map_r"):
        curves = [[getattr(seen, name) for seen in model.validations] for model in models]
        lines = [line.get_ydata().tolist() for line in panels["pgd_at"].lines]
        for curve in (*curves, [(a + b) / 2 for a, b in zip(*curves, strict=True)]):
            assert any(line == pytest.approx(curve) for line in lines if len(line) == 12)
        kept = {(m.best_epoch, c[m.best_epoch // 2 - 1]) for m, c in zip(models, curves, strict=True)}
        marks = {(line.get_xdata()[0], line.get_ydata()[0]) for line in panels["pgd_at"].lines}
        assert kept <= marks


def test_what_is_lost_after_the_kept_epoch_is_said(tables_of):
    _, (table,) = tables_of(FakeRun(seeds=(0,)))
    row = next(row for row in table.rows if row.defense == "pgd_at")
    assert fall(row) == pytest.approx(0.5 / 3)
    assert "up to 17 points" in drawn(table)._suptitle.get_text()


def test_seeds_that_were_looked_at_at_other_epochs_still_draw(tables_of):
    _, (table,) = tables_of(FakeRun())
    row = next(row for row in table.rows if row.defense == "pgd_at")
    row.models[0] = row.models[0].model_copy(update={"validations": row.models[0].validations[1:2]})
    assert drawn(table) is not None


def test_nothing_was_held_out_so_there_is_no_figure(tmp_path):
    FakeRun(validated=False, seeds=(0,)).write(tmp_path)
    paths = write_report(tmp_path)
    assert not any(path.name.startswith("training") for path in paths)
    assert "## Training" not in (tmp_path / "leaderboard.md").read_text(encoding="utf-8")


def test_the_page_says_whose_classes_they_are(full_report):
    output, paths = full_report
    assert "training_glyphs_smallconv_proxy_anchor.png" in {path.name for path in paths}
    page = " ".join((output / "leaderboard.md").read_text(encoding="utf-8").split())
    assert "classes of the training split, held out of training; test classes are never looked at" in page
