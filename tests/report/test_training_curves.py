import pytest

from benchmark.report.style import line_styles
from benchmark.report.training_curves import fall, training_curves

from .fake_run import FakeRun

DEFENSES = ("vanilla", "pgd_at", "eat[members=3]", "pixels")


def drawn(table):
    return training_curves(table, line_styles(DEFENSES, ["pixels"]))


def test_one_panel_has_the_mean_of_the_seeds_and_their_kept_epochs(tables_of):
    run, (table,) = tables_of(FakeRun())
    figure = drawn(table)
    (axes,) = figure.axes
    shown = {text.get_text().replace("\n", "") for text in axes.get_legend().get_texts()}
    assert shown == set(DEFENSES) - {"pixels"}
    models = [model for model in run.models.values() if model.key.defense == "pgd_at"]
    curves = [[result.attacked_map_r for result in model.validations] for model in models]
    means = [(one + other) / 2 for one, other in zip(*curves, strict=True)]
    assert any(
        line.get_ydata().tolist() == pytest.approx(means)
        for line in axes.lines
        if len(line.get_ydata()) == 12
    )
    kept = {(m.best_epoch, c[m.best_epoch // 2 - 1]) for m, c in zip(models, curves, strict=True)}
    assert kept <= {(line.get_xdata()[0], line.get_ydata()[0]) for line in axes.lines}


def test_the_title_names_the_loss_after_the_peak_whichever_epoch_was_kept(tables_of):
    _, (table,) = tables_of(FakeRun(seeds=(0,)))
    row = next(row for row in table.rows if row.defense == "pgd_at")
    assert fall(row) == pytest.approx(0.5 / 3)
    assert "up to 17 points" in drawn(table)._suptitle.get_text()
    row.models[0] = row.models[0].model_copy(update={"best_epoch": 24})
    assert fall(row) == pytest.approx(0.5 / 3)


def test_seeds_that_were_validated_at_other_epochs_are_drawn(tables_of):
    _, (table,) = tables_of(FakeRun())
    row = next(row for row in table.rows if row.defense == "pgd_at")
    row.models[0] = row.models[0].model_copy(update={"validations": row.models[0].validations[1:2]})
    assert drawn(table) is not None


def test_without_validation_there_is_no_figure(tables_of):
    _, (table,) = tables_of(FakeRun(validated=False, seeds=(0,)))
    assert drawn(table) is None
