import json

import jsonschema
import pandas as pd
import pytest

from benchmark.core.errors import UsageError
from benchmark.report import write_report
from benchmark.report.csv_files import CELL_COLUMNS, cells_frame, leaderboard_frame
from benchmark.report.exports import EXPORTS, export_formats
from benchmark.report.exports.document import document_schema, shipped_schema
from benchmark.report.exports.json_file import document
from benchmark.report.exports.parquet_files import ParquetExport

from ..fake_run import NOISE, FakeRun
from ..own_models import HOME, models_beside_defenses

ALL = ("vanilla", "pgd_at", "eat[members=3]", "pixels")
RUNS = {
    "plain": FakeRun(),
    "failed": FakeRun(failed_attacks={("pgd_at", NOISE): "no"}, checks={"vanilla": {"rescored": "fail"}}),
    "models": models_beside_defenses(),
    "nothing done": FakeRun(
        failed_trainings=dict.fromkeys(("vanilla", "pgd_at", "eat[members=3]", "pixels"), "no")
    ),
}


@pytest.mark.parametrize("name", RUNS)
def test_the_document_is_as_the_shipped_schema_says(tables_of, name):
    run, tables = tables_of(RUNS[name])
    found = json.loads(json.dumps(document(run, tables).model_dump(mode="json"), allow_nan=False))
    jsonschema.Draft202012Validator(shipped_schema()).validate(found)
    assert len(found["cells"]) == len(run.cells)
    assert [[row["defense"] for row in table["rows"]] for table in found["tables"]] == [
        [row.name for row in table.rows] for table in tables
    ]
    assert HOME not in json.dumps(found)
    for cell in found["cells"]:
        assert (cell["provenance"] is None) == (cell["created"] is None)
        assert cell["provenance"] is None or cell["provenance"] < len(found["sources"])


def test_the_schema_refuses_what_is_not_in_it(tables_of):
    found = document(*tables_of(FakeRun(seeds=(0,)))).model_dump(mode="json")
    validator = jsonschema.Draft202012Validator(shipped_schema())
    for change in ({"extra": 1}, {"cells": [{}]}, {"tables": None}):
        assert not validator.is_valid({**found, **change})


def test_the_shipped_schema_is_that_of_the_document():
    now, shipped = document_schema(), shipped_schema()
    assert now["$schema"] == shipped["$schema"]
    assert now["$defs"].keys() == shipped["$defs"].keys()
    pairs = [(now, shipped), *((part, shipped["$defs"][name]) for name, part in now["$defs"].items())]
    for part, other in pairs:
        assert part["properties"].keys() == other["properties"].keys()
        assert part["required"] == other["required"]


def test_scores_are_exact(tables_of):
    run, (table,) = tables_of(FakeRun())
    row, found = table.rows[0], document(run, [table]).tables[0].rows[0]
    assert found.mean.worst_ami == row.mean("worst_ami") and found.std.worst_r1 == row.std("worst_r1")
    assert found.seeds[0].scores.clean_r1 == row.seeds[0].clean_r1


@pytest.mark.parametrize("name", RUNS)
def test_parquet_has_the_columns_and_values_of_the_csv_files(tables_of, tmp_path, name):
    pytest.importorskip("pyarrow")
    run, tables = tables_of(RUNS[name])
    leaderboard, cells = map(pd.read_parquet, ParquetExport().write(run, tables, tmp_path))
    assert list(cells.columns) == CELL_COLUMNS and len(cells) == len(cells_frame(run))
    assert cells.value.dtype == "float64"
    frame = leaderboard_frame(run, tables).astype({"worst_ami": float})
    assert list(leaderboard.columns) == list(frame.columns)
    assert leaderboard.worst_ami.tolist() == pytest.approx(frame.worst_ami.tolist(), nan_ok=True)


def test_a_format_is_asked_for_by_name_and_needs_its_package(monkeypatch):
    assert set(EXPORTS) == {"json", "latex", "parquet"}
    assert [one.name for one in export_formats(["latex", "json", "latex"])] == ["latex", "json"]
    with pytest.raises(UsageError, match=r"format of --export 'xml'.*json, latex, parquet"):
        export_formats(["xml"])
    monkeypatch.setattr(ParquetExport, "package", "no_such_package")
    with pytest.raises(UsageError, match=r"package no_such_package is not installed.*\[parquet\]"):
        export_formats(["parquet"])


def test_the_report_writes_what_was_asked_for(tmp_path):
    FakeRun(weakness={"vanilla": 0.9}, seeds=(0,), curve={}, scenarios=("retrieval-query",)).write(tmp_path)
    before = {path.name for path in write_report(tmp_path)}
    written = {path.name for path in write_report(tmp_path, exports=export_formats(["json", "latex"]))}
    assert written - before == {"results.json", "leaderboard.tex"}
    assert "\\begin{tabular}" in (tmp_path / "leaderboard.tex").read_text()
    assert json.loads((tmp_path / "results.json").read_text())["version"] == "1"
