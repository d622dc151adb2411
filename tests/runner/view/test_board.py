from benchmark.runner.view.board import TRAIN, Board, Column, Place, State

from .boards import board, name


def test_counts_follow_the_states():
    found = board(blocks=("a", "b"), defenses=("vanilla", "eat"), seeds=2)
    assert found.tally().total == 2 * 2 * 2 * 11
    assert found.tally().ended == 0
    job = name("a", "eat", TRAIN)
    for state, ended in ((State.RUNNING, 0), (State.DONE, 1)):
        found.set(job, state)
        for tally in (found.tally(), found.tally(["a"]), found.tally(["a"], ["eat"], [TRAIN])):
            assert tally.counts[state] == 1
            assert tally.ended == ended
    assert found.tally(["b"]).ended == 0
    assert found.tally(rows=["vanilla"]).ended == 0


def test_trainings_and_clean_pools_come_first_whatever_came_first():
    found = Board()
    for column in (Column("noise"), Column("clean"), TRAIN):
        found.add(column.name, Place("", "vanilla", column), State.WAITING)
    assert [column.name for column in found.columns] == ["train", "clean", "noise"]


def test_a_share_is_forgotten_when_its_job_ends():
    found = board()
    job = name("", "eat", TRAIN)
    found.set(job, State.RUNNING)
    found.report(job, 0.4)
    assert found.tally(rows=["eat"], columns=[TRAIN]).share == 0.4
    found.set(job, State.DONE)
    assert found.tally(rows=["eat"], columns=[TRAIN]).share == 0.0


def test_jobs_that_are_not_on_the_board_are_ignored():
    found = board()
    before = found.tally().counts
    found.set("a teacher", State.RUNNING)
    found.report("a teacher", 0.5)
    assert found.tally().counts == before


def test_a_job_is_counted_once():
    found = board()
    before = found.tally().total
    found.add(name("", "eat", TRAIN), Place("", "eat", TRAIN), State.DONE)
    assert found.tally().total == before
    assert found.tally().ended == 0
