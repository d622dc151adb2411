import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from benchmark.runner.view.board import TRAIN, Board, Column, Place, State
from benchmark.runner.view.fit import board_lines

from .boards import BUDGETS, PAPER, board, name


def lines(found, width, height, **given):
    return [line.plain for line in board_lines(found, width, height, **given)]


def test_a_small_grid_is_shown_whole():
    found = board()
    found.set(name("", "eat", TRAIN), State.DONE)
    found.set(name("", "vanilla", Column("noise")), State.FAILED)
    found.set(name("", "pgd_at", Column("square")), State.RUNNING)
    found.report(name("", "pgd_at", Column("square")), 0.43)
    shown = lines(found, 160, 20)
    assert len(shown) == 2 + 7
    assert shown[0].split() == ["train", "clean", *["pgd_decay"] * 5, "square", "transfer", "fgsm", "noise"]
    assert "gallery_away 20" in shown[1]
    assert shown[2].split() == ["vanilla", *["\u00b7"] * 10, "\u2717"]
    assert shown[3].split()[8] == "43%"
    assert shown[8].split()[:2] == ["eat", "\u2713"]


def test_the_whole_grid_fits_80_columns():
    shown = lines(board(), 80, 18)
    assert shown[0].split()[:4] == ["train", "clean", "pgd_.", "pgd_."]
    assert len(shown[2].split()) == 12


def test_several_seeds_are_counted():
    found = board(seeds=3)
    for seed in range(2):
        found.set(name("", "eat", TRAIN, seed), State.CACHED)
    found.set(name("", "trades", TRAIN, 1), State.FAILED)
    shown = lines(found, 160, 20)
    assert shown[-1].split()[1] == "2/3"
    assert shown[4].split()[1] == "1/3!"


def test_data_sets_are_blocks_where_there_is_room_and_else_totals():
    found = board(blocks=PAPER, budgets=BUDGETS)
    whole = lines(found, 400, 60)
    assert [
        line.strip() for line in whole if "/" in line and "0/" not in line and "linf" not in line
    ] == PAPER
    assert len(whole) == 3 + 6 * 8
    summed = lines(found, 120, 30)
    assert summed[2].split()[:3] == ["vanilla", "0/6", "0/6"]
    assert summed[9].strip() == "by setting"
    assert [line[:3] for line in summed[10:]] == [block[:3] for block in PAPER]
    together = lines(found, 120, 12)
    assert len(together) == 2 + 7


def test_a_terminal_that_is_narrow_gets_attacks_together():
    shown = lines(board(seeds=3), 30, 20)
    assert shown[0].split() == ["train", "attacks"]
    assert shown[1].split() == ["vanilla", "0/3", "0/30"]


def test_rows_that_do_not_fit_are_counted_together():
    shown = lines(board(seeds=2), 60, 5)
    assert len(shown) == 5
    assert shown[-1].startswith("4 more") or shown[-1].startswith("5 more")


@settings(max_examples=80)
@given(
    st.integers(1, 250),
    st.integers(0, 60),
    st.integers(1, 4),
    st.integers(1, 3),
    st.integers(1, 9),
)
def test_no_line_is_too_long_and_none_is_too_much(width, height, blocks, seeds, attacks):
    from .boards import ATTACKS

    found = board(blocks=PAPER[:blocks], attacks=ATTACKS[:attacks], budgets=BUDGETS, seeds=seeds)
    shown = lines(found, width, height)
    assert len(shown) <= height
    assert all(cell_len(line) <= width for line in shown)


def test_every_job_is_counted_in_every_summary():
    found = board(blocks=PAPER[:1], budgets=BUDGETS, seeds=2)
    for width in (30, 60, 100, 300):
        for height in (4, 6, 12):
            counted = sum(
                int(word.rstrip("!").partition("/")[2])
                for line in lines(found, width, height)
                for word in line.split()
                if word.rstrip("!").replace("/", "").isdigit()
                and word[0].isdigit()
                and "/" in word
                and "linf" not in line
                and "255" not in line
            )
            assert counted == found.tally().total, (width, height)


@pytest.mark.parametrize("ascii_only", [True, False])
def test_a_terminal_without_unicode_gets_ascii(ascii_only):
    text = "\n".join(lines(board(), 160, 20, ascii_only=ascii_only))
    assert text.isascii() == ascii_only


def test_wide_and_hidden_characters_do_not_break_columns():
    found = Board()
    for row in ("\u6f22\u5b57\u6f22\u5b57", "evil\x1b[2J"):
        found.add(row, Place("", row, TRAIN), State.DONE)
    shown = lines(found, 40, 10)
    assert "\x1b" not in "".join(shown)
    assert len({cell_len(line) for line in shown}) == 1


def test_thousands_of_jobs_are_drawn_in_no_time():
    found = board(blocks=PAPER, defenses=[f"defense{index}" for index in range(20)], budgets=BUDGETS, seeds=3)
    assert found.tally().total > 10_000
    started = time.process_time()
    lines(found, 120, 40)
    assert time.process_time() - started < 0.5
