from benchmark.report.boards import percent
from benchmark.report.page.attacks import attack_grids, checks_grid
from benchmark.report.page.grid import exact

from ..fake_run import NEIGHBOUR, NOISE, OWN, FakeRun

SMALL = {"classes": 8, "per_class": 4}


def test_attacks_have_the_value_and_the_record_of_each_cell(both_seeds):
    _, (table,) = both_seeds
    clustering, retrieval = attack_grids(table, 0)  # in the order of the leaderboard
    assert retrieval.setting["scenario"] == "retrieval-query"
    for grid, scenario, metric in (
        (retrieval, "retrieval-query", "r1"),
        (clustering, "clustering", "ami"),
    ):
        assert [line.values[0].text for line in grid.lines][:: len(grid.lines) - 1] == ["clean", "worst case"]
        assert {line.values[0].detail for line in grid.lines} == {"", OWN, NOISE, NEIGHBOUR}
        row = table.rows[0]
        under = {line.values[0].detail: line.values[1] for line in grid.lines}
        value = row.standalone(scenario, metric)[NOISE]
        assert under[NOISE].text == percent(value) and exact(value) in under[NOISE].detail
        for cell in row.attacked(scenario)[NOISE]:
            assert f"store/cells/{cell.ref.id}.json" in under[NOISE].detail


def test_checks_mark_what_fails(both_seeds):
    run, (table,) = both_seeds
    grid = checks_grid(table, 0, run.manifest.checks)
    place = [row.name for row in table.rows].index("vanilla")
    (line,) = [line for line in grid.lines if line.values[0].text == "collapsed"]
    value = line.values[2 + place]
    assert value.marks and "fail, seed 1: 0.6" in value.detail and value.text == "60.0"
    assert not line.values[2 + (place + 1) % 4].marks


def test_without_checks_there_is_no_table_of_them(tables_of):
    run, (table,) = tables_of(FakeRun(seeds=(0,), **SMALL))
    assert checks_grid(table, 0, run.manifest.checks) is None
