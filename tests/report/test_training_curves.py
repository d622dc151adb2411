import pytest

from benchmark.report.style import line_styles
from benchmark.report.training_curves import fall, training_curves

from .fake_run import FakeRun

DEFENSES = ("vanilla", "pgd_at", "eat[members=3]", "pixels")


def drawn(table):
    return training_curves(table, line_styles(DEFENSES, ["pixels"]))


def test_lines_and_marks_are_the_records(tables_of):
    run, (table,) = tables_of(FakeRun())
    figure = drawn(table)
    panels = {axes.get_title(loc="left").replace("\n", ""): axes for axes in figure.axes if axes.axison}
    assert set(panels) == set(DEFENSES) - {"pixels"}
    models = [m for m in run.models.values() if m.key.defense == "pgd_at"]
    for name in ("clean_map_r", "attacked_map_r"):
        curves = [[getattr(result, name) for result in model.validations] for model in models]
        lines = [line.get_ydata().tolist() for line in panels["pgd_at"].lines]
        for curve in (*curves, [(a + b) / 2 for a, b in zip(*curves, strict=True)]):
            assert any(line == pytest.approx(curve) for line in lines if len(line) == 12)
        kept = {(m.best_epoch, c[m.best_epoch // 2 - 1]) for m, c in zip(models, curves, strict=True)}
        marks = {(line.get_xdata()[0], line.get_ydata()[0]) for line in panels["pgd_at"].lines}
        assert kept <= marks


def test_the_title_names_the_loss_after_the_kept_epoch(tables_of):
    _, (table,) = tables_of(FakeRun(seeds=(0,)))
    row = next(row for row in table.rows if row.defense == "pgd_at")
    assert fall(row) == pytest.approx(0.5 / 3)
    assert "up to 17 points" in drawn(table)._suptitle.get_text()


def test_seeds_that_were_validated_at_other_epochs_are_drawn(tables_of):
    _, (table,) = tables_of(FakeRun())
    row = next(row for row in table.rows if row.defense == "pgd_at")
    row.models[0] = row.models[0].model_copy(update={"validations": row.models[0].validations[1:2]})
    assert drawn(table) is not None


def test_without_validation_there_is_no_figure(tables_of):
    _, (table,) = tables_of(FakeRun(validated=False, seeds=(0,)))
    assert drawn(table) is None
