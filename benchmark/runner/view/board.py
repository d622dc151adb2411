"""The jobs of a grid by their place, defense x attack, and the state of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from itertools import product, starmap
from typing import NamedTuple


class State(Enum):
    """What a job is: to do, running, or ended."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    CACHED = "cached"
    FAILED = "failed"
    SKIPPED = "skipped"


ENDED = (State.DONE, State.CACHED, State.FAILED, State.SKIPPED)
"""The states of a job that is not run any more."""


class Column(NamedTuple):
    """A column of the board.

    Attributes:
        name: of the attack; "train" for trainings, "clean" without an attack.
        details: its parameters, as far as they tell it from others.
        budget: norm and eps; empty where all attacks have the same.
    """

    name: str
    details: str = ""
    budget: str = ""


TRAIN = Column("train")


class Place(NamedTuple):
    """Where a job stands: the block names data set, backbone and loss, the row the defense."""

    block: str
    row: str
    column: Column


@dataclass
class Tally:
    """The jobs of some places.

    Attributes:
        counts: how many there are, by state.
        share: the fraction that is done of one that runs; 0 while unknown.
    """

    counts: Counter[State]
    share: float = 0.0

    @property
    def total(self) -> int:
        """How many there are."""
        return self.counts.total()

    @property
    def ended(self) -> int:
        """How many have ended."""
        return sum(self.counts[state] for state in ENDED)


class Board:
    """The jobs of a grid; blocks, rows and columns are in the order in which they came."""

    def __init__(self) -> None:
        self._places: dict[str, Place] = {}
        self._states: dict[str, State] = {}
        self._shares: dict[Place, float] = {}
        self._counts: dict[Place, Counter[State]] = {}
        self._total: Counter[State] = Counter()
        self._blocks: dict[str, dict[str, None]] = {}
        self._columns: dict[Column, None] = {}

    def add(self, job_id: str, place: Place, state: State) -> None:
        """Adds a job; one that is there already stays as it is."""
        if job_id not in self._places:
            self._places[job_id], self._states[job_id] = place, state
            self._counts.setdefault(place, Counter())[state] += 1
            self._total[state] += 1
            self._blocks.setdefault(place.block, {})[place.row] = None
            self._columns[place.column] = None

    def set(self, job_id: str, state: State) -> None:
        """Changes the state of a job; an unknown one is ignored."""
        place = self._places.get(job_id)
        if place is not None:
            for counts in (self._counts[place], self._total):
                counts[self._states[job_id]] -= 1
                counts[state] += 1
            self._states[job_id] = state
            self._shares.pop(place, None)

    def report(self, job_id: str, share: float) -> None:
        """Notes which fraction of a running job is done."""
        place = self._places.get(job_id)
        if place is not None:
            self._shares[place] = share

    @property
    def blocks(self) -> list[str]:
        """The blocks."""
        return list(self._blocks)

    def rows(self, blocks: Iterable[str] | None = None) -> list[str]:
        """The rows of some blocks, each once; of all where none are given."""
        chosen = self._blocks if blocks is None else blocks
        return list(dict.fromkeys(row for block in chosen for row in self._blocks[block]))

    @property
    def columns(self) -> list[Column]:
        """The columns; trainings come first, then clean pools."""
        first = [column for column in (TRAIN, Column("clean")) if column in self._columns]
        return [*first, *(column for column in self._columns if column not in first)]

    def tally(
        self,
        blocks: Iterable[str] | None = None,
        rows: Iterable[str] | None = None,
        columns: Iterable[Column] | None = None,
    ) -> Tally:
        """Counts the jobs of some blocks, rows and columns; of all where None is given."""
        if blocks is None and rows is None and columns is None:
            return Tally(Counter(self._total))
        counts: Counter[State] = Counter()
        share = 0.0
        for place in starmap(
            Place,
            product(
                self.blocks if blocks is None else blocks,
                self.rows() if rows is None else rows,
                self.columns if columns is None else columns,
            ),
        ):
            if place in self._counts:
                counts.update(self._counts[place])
                share = max(share, self._shares.get(place, 0.0))
        return Tally(counts, share)
