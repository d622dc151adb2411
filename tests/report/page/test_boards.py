from benchmark.report.boards import percent, rank_text
from benchmark.report.page.boards import details, leaderboard
from benchmark.report.page.grid import exact

from .conftest import MANY, shown


def test_the_leaderboard_shows_what_the_board_of_markdown_shows(both_seeds):
    _, tables = both_seeds
    grid, rows = leaderboard(tables), tables[0].rows
    assert [value.text for value in shown(grid, "rank")] == [rank_text(row) for row in rows]
    for title, field in (("worst AMI", "worst_ami"), ("clean R@1", "clean_r1")):
        values = shown(grid, title)
        assert [value.text for value in values] == [percent(row.mean(field), row.std(field)) for row in rows]
        for value, row in zip(values, rows, strict=True):
            assert value.detail.startswith(f"{title}: {exact(row.mean(field))} ±")
            for seed in row.seeds:
                assert f"seed {seed.seed}: {exact(getattr(seed, field))}, " in value.detail
    marks = {value.text: [mark.text for mark in value.marks] for value in shown(grid, "defense")}
    assert marks == {
        "eat[members=3]": [], "pgd_at": ["plugin abcdef12"], "vanilla": ["†"], "pixels": ["reference"],
    }  # fmt: skip
    assert "compute" not in {column.title for column in grid.columns}  # there is one mode
    assert grid.setting["compute"] == "equal epochs"


def test_settings_are_columns_where_they_differ(tables_of):
    _, tables = tables_of(MANY)
    for grid in (leaderboard(tables), details(tables)):
        titles = [column.title for column in grid.columns]
        assert "data set" in titles and "compute" in titles and "backbone" not in titles
        assert len(grid.lines) == 24
    failed = [value for value in shown(details(tables), "failed cells") if value.sort]
    assert {value.text for value in failed} == {"2 of 12"}
    assert any("out of memory" in value.detail for value in failed)
