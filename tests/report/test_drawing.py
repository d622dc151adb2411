import os
import signal
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmark.report import drawing
from benchmark.report.drawing import MANY, Drawn, draw_all
from benchmark.report.style import svg_of


@dataclass(frozen=True)
class Dot:
    """Writes the process and the source; some fail."""

    path: Path
    number: int

    def draw(self, source):
        if self.number == 1:
            raise ValueError("no\n dot")
        if self.number == 2:
            return ""
        if self.number == 3 and os.getpid() != source:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.number == 4 and os.getpid() != source:
            assert signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, [])  # since before its imports
        self.path.write_text(str(os.getpid()))
        return f"dot {self.number}"


def dots(folder, count):
    return [Dot(folder / f"{number}.txt", number) for number in range(count)]


def test_few_are_drawn_here_and_one_that_fails_costs_only_itself(tmp_path):
    pictures = dots(tmp_path, 5)
    for path in (pictures[1].path, svg_of(pictures[1].path)):
        path.write_text("of an earlier report")
    drawn = draw_all(pictures, os.getpid(), workers=2)
    assert list(drawn.values()) == [
        Drawn(True, alt="dot 0"),
        Drawn(False, "ValueError: no dot"),
        Drawn(False),
        Drawn(True, alt="dot 3"),
        Drawn(True, alt="dot 4"),
    ]
    assert not pictures[1].path.exists() and not svg_of(pictures[1].path).exists()
    assert pictures[4].path.read_text() == str(os.getpid())


@pytest.mark.slow
def test_many_are_drawn_in_processes_and_a_process_that_dies_costs_one(tmp_path):
    pictures = dots(tmp_path, MANY)
    drawn = draw_all(pictures, os.getpid(), workers=2)
    assert [picture.number for picture in pictures if not drawn[picture.path].there] == [1, 2, 3]
    assert "died" in drawn[pictures[3].path].failure
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])
    assert str(os.getpid()) not in {picture.path.read_text() for picture in pictures[4:]}


def test_without_processes_all_are_drawn_here(tmp_path, monkeypatch):
    monkeypatch.setattr(drawing, "_is_ready", None)
    drawn = draw_all(dots(tmp_path, MANY), os.getpid(), workers=2)
    assert sum(one.there for one in drawn.values()) == MANY - 2
