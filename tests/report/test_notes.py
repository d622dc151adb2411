import pytest

from benchmark.report.notes import row_notes

from .fake_run import EQUAL_EPOCHS, EQUAL_PASSES, FakeRun
from .own_models import models_alone

SCALED = "pgd_at[epochs_scale=2]"


def notes(tables_of, relative_costs, compute=EQUAL_PASSES, budget=27.0):
    fake = FakeRun(
        weakness=dict.fromkeys(relative_costs, 0.5),
        references=(),
        compute=(compute,),
        seeds=(0,),
        training={name: {"relative_cost": cost} for name, cost in relative_costs.items()},
    )
    _, (table,) = tables_of(fake)
    return row_notes(table, budget)


@pytest.mark.parametrize(
    ("cost", "expected"),
    [
        (9.44, None),
        (8.56, None),
        (9.9, "9.90 times vanilla training, 10 % more than"),
        (8.1, "8.10 times vanilla training, 10 % less than"),
    ],
)
def test_a_cost_that_is_off_by_over_five_percent_is_told(tables_of, cost, expected):
    whole = f"Training `a` cost {expected} the 9.00 that equal passes promise."
    assert notes(tables_of, {"a": cost}) == ([whole] if expected else [])


def test_a_factor_on_the_epochs_is_part_of_what_is_promised(tables_of):
    (note,) = notes(tables_of, {SCALED: 18.0, "pgd_at": 18.0})
    assert note.startswith("Training `pgd_at` cost 18 times") and "100 % more than the 9.00" in note


def test_equal_epochs_promise_no_cost(tables_of):
    assert notes(tables_of, {"a": 20.0}, EQUAL_EPOCHS) == []


def test_of_several_seeds_the_one_that_is_off_most_counts(tables_of):
    _, (table,) = tables_of(FakeRun(weakness={"a": 0.5}, references=(), compute=(EQUAL_PASSES,)))
    (row,) = table.rows
    row.models[:] = [
        model.model_copy(update={"relative_cost": cost})
        for model, cost in zip(row.models, (8.0, 10.5), strict=True)
    ]
    (note,) = row_notes(table, 27.0)
    assert "cost 10 times" in note and "17 % more" in note


def test_a_teacher_is_told_in_either_mode(tables_of):
    for mode in (EQUAL_EPOCHS, EQUAL_PASSES):
        fake = FakeRun(
            weakness={"a": 0.5},
            references=(),
            compute=(mode,),
            training={"a": {"relative_cost": 9.0, "teacher_cost": 1.0}},
        )
        _, (table,) = tables_of(fake, mode)
        assert row_notes(table, 27.0) == ["The train cost of `a` includes its teacher's: 1.00 of 9.00."]


def test_notes_of_records_are_shown_once_for_all_rows_that_share_them(tables_of):
    fake = FakeRun(
        weakness={"a": 0.5, "b": 0.6, "c": 0.7},
        references=(),
        training={
            "a": {"notes": ["half | precision."]},
            "b": {"notes": ["half | precision", "from /x/y/z.pt"]},
        },
    )
    _, (table,) = tables_of(fake)
    assert row_notes(table, 27.0) == ["`a`, `b`: half \\| precision.", "`b`: from z.pt."]


def test_why_a_row_has_no_rank_is_told(tables_of):
    _, (table,) = tables_of(models_alone())
    assert "`net.onnx` has no rank: net.onnx was attacked without gradients." in row_notes(table, 27.0)


def test_a_stand_in_for_a_gradient_is_told(tables_of):
    _, (table,) = tables_of(FakeRun(weakness={"a": 0.5, "b": 0.5}, references=()))
    assert row_notes(table, 27.0) == []
    (cell, *_) = (cell for cell in table.rows[0].cells if cell.ref.role == "clean")
    cell.record.diagnostics["stand_in"] = 1.0
    (note,) = row_notes(table, 27.0)
    assert note.startswith(f"`{table.rows[0].name}` declares a stand-in for its gradient (BPDA)")
