import io
import sys

import pytest
from rich.console import Console

from benchmark.jobs.progress import Progress
from benchmark.runner.view.board import TRAIN, State
from benchmark.runner.view.display import Overview
from benchmark.runner.view.estimate import Estimate
from benchmark.runner.view.live import LiveView, can_be_live

from .boards import BUDGETS, PAPER, Job, board, name

OVERVIEW = Overview(Estimate(600.0), 0.25, 31234.5, 61.0)


class Terminal(Console):
    """A console whose size can be changed, and whose text can be read."""

    def __init__(self, width=100, height=24):
        super().__init__(
            file=io.StringIO(), width=width, height=height, force_terminal=True, color_system=None
        )

    def resize(self, width, height):
        self._width, self._height = width, height

    @property
    def text(self):
        return self.file.getvalue()


@pytest.fixture
def terminal():
    return Terminal()


@pytest.fixture
def view(terminal):
    found = LiveView(board(), lambda job: job.label, terminal, clock=lambda: 0.0)
    yield found
    found.close(OVERVIEW)


def plain(view, width=100, height=24):
    return [line.plain for line in view.lines(width, height)]


def test_speed_time_left_states_and_running_jobs(view):
    view.tick(OVERVIEW)
    view._board.set(name("", "eat", TRAIN), State.RUNNING)
    training = Job(name("", "eat", TRAIN), "eat, seed 0: train")
    view.start(training)
    view.report(training, Progress(0.2, unit="epoch", done=12, total=60, measure="loss", value=0.43211))
    attack = Job("a", "vanilla, seed 0: pgd_decay linf 0.1")
    view.start(attack)
    view.report(attack, Progress(0.1, 1.0, "step", 310, 1400, "objective", 0.25))
    shown = plain(view)
    assert shown[0] == "25 % in 61 s, about 10 min left, 31,234 cost units/s"
    assert shown[1] == "77 jobs:  \u00b7 76 waiting  \u25b6 1 running"
    assert shown[-2].split("  ") == ["eat, seed 0: train", "epoch 12 of 60, loss 0.4321", "0 s"]
    assert shown[-1].split("  ")[1] == "step 310 of 1,400, objective 0.25"


def test_a_failure_stays_above_the_view(view, terminal):
    job = Job(name("", "eat", TRAIN), "eat, seed 0: train")
    view.start(job)
    view.finish(job, "no [room] \x1b[2J", OVERVIEW)
    assert "FAILED eat, seed 0: train: no [room] \\x1b[2J" in terminal.text
    assert "FAILED" not in "\n".join(plain(view))


@pytest.mark.parametrize(("width", "height"), [(20, 3), (40, 8), (80, 24), (200, 60), (10, 1), (1, 2)])
def test_it_fits_every_terminal(width, height):
    terminal = Terminal(width, height)
    view = LiveView(board(blocks=PAPER, budgets=BUDGETS, seeds=3), lambda job: job.label, terminal)
    for index in range(10):
        view.start(Job(f"{index}", f"a job with a long label, the {index}th of them"))
    terminal.file.seek(0)
    terminal.file.truncate()
    view.tick(OVERVIEW)
    view._live.stop()
    drawn = terminal.text.replace("\r", "\n").split("\n")
    visible = [line.replace("\x1b[2K", "").replace("\x1b[1A", "") for line in drawn]
    assert max(len(line.split("\x1b")[0]) for line in visible) <= width
    assert len(plain(view, width, height)) <= height
    view.close(OVERVIEW)


def test_many_running_jobs_leave_room_for_the_grid(view):
    for index in range(50):
        view.start(Job(f"{index}", f"job {index}"))
    shown = plain(view, 100, 24)
    assert len(shown) == 24
    assert any(line.startswith("random_transforms") for line in shown)
    assert shown[-1].endswith("more run")
    assert int(shown[-1].split()[0]) + sum(line.startswith("job ") for line in shown) == 50


def test_progress_is_not_cut_off_on_a_narrow_terminal(view):
    job = Job("a", "random_transforms, seed 0: pgd_decay[objective=neighbour,steps=40] linf 0.1")
    view.start(job)
    view.report(job, Progress(0.1, 1.0, "step", 310, 1400, "objective", 0.25))
    assert plain(view, 60)[-1].endswith("step 310 of 1,400, objective 0.25  0 s")


def test_a_drawing_is_written_at_once_and_draws_over_the_last(terminal):
    clock = [0.0]
    view = LiveView(board(), lambda job: job.label, terminal, clock=lambda: clock[0])
    written = []
    original = terminal.file.write
    terminal.file.write = lambda text: written.append(text) or original(text)
    clock[0] = 10.0
    view.tick(OVERVIEW)
    written.clear()
    view.tick(OVERVIEW)
    assert len(written) == 1
    assert "\x1b[2J" not in written[0]
    assert written[0].count("\x1b[1A") == 10  # the lines of the last drawing: 2 of the head, 9 of the board
    view.start(Job("a", "a"))  # a moment later
    assert len(written) == 1
    view.close(OVERVIEW)


def test_a_terminal_that_was_resized_is_cleared_and_drawn_anew(view, terminal):
    view.tick(OVERVIEW)
    assert "\x1b[2J" not in terminal.text
    terminal.resize(60, 20)
    view.tick(OVERVIEW)
    assert terminal.text.count("\x1b[2J") == 1
    after = terminal.text.rpartition("\x1b[2J")[2]
    assert "about 10 min left" in after
    view.tick(OVERVIEW)
    assert terminal.text.count("\x1b[2J") == 1


def test_the_end_stays_on_the_screen_and_streams_are_as_before(terminal):
    before = sys.stdout, sys.stderr
    view = LiveView(board(), lambda job: job.label, terminal)
    assert sys.stdout is not before[0]
    view.close(OVERVIEW)
    assert (sys.stdout, sys.stderr) == before
    assert terminal.text.endswith("\x1b[?25h")  # the cursor is shown again
    assert "about 10 min left" in terminal.text


def test_what_others_write_comes_above_the_view(terminal):
    from benchmark.core.output import say

    view = LiveView(board(), lambda job: job.label, terminal)
    view.tick(OVERVIEW)
    say("a warning")
    view.close(OVERVIEW)
    assert "a warning\n" in terminal.text


def test_stderr_that_goes_to_a_file_still_goes_there(terminal, capsys):
    before = sys.stderr
    view = LiveView(board(), lambda job: job.label, terminal)
    assert sys.stderr is before
    view.close(OVERVIEW)


@pytest.mark.parametrize(("dumb", "live"), [("xterm", True), ("dumb", False)])
def test_a_terminal_that_cannot_move_its_cursor_gets_lines(dumb, live):
    console = Console(file=io.StringIO(), force_terminal=True, _environ={"TERM": dumb})
    assert can_be_live(console) is live
    assert not can_be_live(Console(file=io.StringIO()))
