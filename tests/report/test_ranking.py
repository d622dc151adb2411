from benchmark.report.clean_vs_worst import summary
from benchmark.report.csv_files import leaderboard_frame

from .fake_run import NEIGHBOUR, NOISE, OWN, RETRIEVAL, FakeRun

CLOSE = {"a": 0.30, "b": 0.31, "c": 0.32, "far": 0.95, "pixels": 0.5}


def test_ranks_follow_worst_ami_and_intervals_hold_them(tables_of):
    run, tables = tables_of(FakeRun(weakness=CLOSE, seeds=(0, 1, 2)))
    frame = leaderboard_frame(run, tables)
    ranked = frame[frame["rank"].notna()]
    assert list(ranked["rank"]) == [1, 2, 3, 4]
    assert list(ranked.worst_ami) == sorted(ranked.worst_ami, reverse=True)
    assert (ranked.rank_low <= ranked["rank"]).all() and (ranked["rank"] <= ranked.rank_high).all()
    assert (ranked.rank_low >= 1).all() and (ranked.rank_high <= 4).all()
    far = ranked[ranked.defense == "far"].iloc[0]
    assert (far["rank_low"], far["rank_high"]) == (4, 4)
    assert (ranked[ranked.defense != "far"].rank_low < ranked[ranked.defense != "far"].rank_high).any()


def test_references_are_unranked_and_last(tables_of):
    run, tables = tables_of(
        FakeRun(weakness={"pixels": 0.1, "vanilla": 0.9, "also": 0.5}, references=("pixels",))
    )
    frame = leaderboard_frame(run, tables)
    assert frame.iloc[-1].defense == "pixels"
    assert frame.iloc[-1][["rank", "rank_low", "rank_high"]].isna().all()
    assert list(frame["rank"][:-1]) == [1, 2]


def test_incomplete_rows_stand_below_complete_ones(tables_of):
    fake = FakeRun(weakness={"best": 0.1, "mid": 0.4, "weak": 0.9}, missing={("best", NOISE)}, references=())
    run, tables = tables_of(fake)
    frame = leaderboard_frame(run, tables)
    assert list(frame.defense) == ["mid", "weak", "best"]
    assert frame.worst_ami.idxmax() == 2
    assert tuple(frame.iloc[2][["rank", "rank_low", "rank_high"]]) == (3, 3, 3)


def test_a_row_that_fails_ranks_below_those_that_do_not_and_above_incomplete_ones(tables_of):
    fake = FakeRun(
        weakness={"fails": 0.0, "misses": 0.1, "sound": 0.5, "weak": 0.9},
        references=(),
        checks={"fails": {"zero_gradient": "fail"}, "misses": {"zero_gradient": "fail"}},
        missing={("misses", OWN)},
    )
    run, tables = tables_of(fake)
    frame = leaderboard_frame(run, tables)
    assert list(frame.defense) == ["sound", "weak", "fails", "misses"]
    assert list(frame["rank"]) == [1, 2, 3, 4]
    assert tuple(frame.iloc[2][["rank_low", "rank_high"]]) == (3, 3)
    assert frame.worst_ami.idxmax() >= 2


def test_retrieval_alone_ranks_by_worst_r1(tables_of):
    run, tables = tables_of(FakeRun(weakness=CLOSE, scenarios=(RETRIEVAL,)))
    ranked = leaderboard_frame(run, tables).dropna(subset=["rank"])
    assert list(ranked.worst_r1) == sorted(ranked.worst_r1, reverse=True)
    assert (ranked.rank_low <= ranked["rank"]).all() and (ranked["rank"] <= ranked.rank_high).all()
    assert ranked.rank_low.notna().all()


def test_equal_rows_share_a_rank(tables_of):
    run, (table,) = tables_of(FakeRun(weakness={"a": 0.0, "b": 0.0}, attacks={NEIGHBOUR: 0.0}, references=()))
    frame = leaderboard_frame(run, [table])
    if frame.worst_ami.nunique() == 1 and frame.worst_r1.nunique() == 1:
        assert list(frame["rank"]) == [1, 1]


def test_the_order_of_writing_changes_nothing(tables_of):
    run, first = tables_of(FakeRun(seeds=(0, 1, 2)))
    other, second = tables_of(FakeRun(seeds=(0, 1, 2), backwards=True), "backwards")
    assert leaderboard_frame(run, first).equals(leaderboard_frame(other, second))


def test_rows_that_the_run_leaves_unranked_stand_before_the_references(tables_of):
    fake = FakeRun(
        weakness={"best": 0.1, "mid": 0.4, "weak": 0.9, "pixels": 0.5}, unranked={"best": "not attacked"}
    )
    _, (table,) = tables_of(fake)
    assert [row.defense for row in table.rows] == ["mid", "weak", "best", "pixels"]
    assert [row.rank for row in table.rows] == [1, 2, None, None]
    assert summary(table).startswith("mid is the most robust of 2 ranked defenses: it keeps")
