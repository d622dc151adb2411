from benchmark.report.page.row_labels import labels, marks, name

from ..fake_run import NOISE, FakeRun


def test_rows_are_labelled_by_what_they_are(tables_of):
    fake = FakeRun(
        weakness={"adp": 0.5, "ensemble": 0.4, "mine": 0.3, "pixels": 0.9},
        controls={"ensemble": ["adp"]},
        plugins={"mine": "abcdef1234"},
        unranked={"mine": "it saw the test classes"},
        checks={"adp": {"collapsed": "fail"}},
        missing={("mine", NOISE)},
        seeds=(0,),
        classes=8,
        per_class=3,
    )
    _, (table,) = tables_of(fake)
    rows = {row.defense: row for row in table.rows}
    assert labels(rows["ensemble"]) == ["ranked", "control"]
    assert labels(rows["adp"]) == ["ranked", "\u2020 fails a check"]
    assert labels(rows["mine"]) == ["without a rank", "plugin", "cells without metrics"]
    assert labels(rows["pixels"]) == ["without a rank", "reference"]
    assert [mark.text for mark in marks(rows["ensemble"])] == ["control of adp"]
    assert name(rows["adp"]).marks[-1].meaning == "fails a check"
