"""Runs tiny grids, kills them at random moments, damages their files, and compares what comes out.

    python -m tests.runner.chaos --kills 200 --seed 0

Each round starts one run or two on one folder, and kills their workers, the process that these are forked
from, and the runs themselves; files are damaged between and within rounds. At the end one run heals what is
left, and its `cells.csv`, its checkpoints and its training curves are compared with those of a run that
nothing disturbed. The last line is JSON. The seed decides what is tried in each round; when, and how many
rounds there are, depends on the machine.
"""

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from benchmark.core.source import ROOT
from benchmark.records import Store

from .damage import damage, files, remove_many, truncate
from .differences import differences, files_in, set_aside
from .kills import FATAL, LONG, SURVIVED, Kill, Session, command, send, send_to_all, suspend


@dataclass
class Tally:
    """What was done, and what came of it."""

    seed: int
    kills: Counter[str] = field(default_factory=Counter)
    damages: Counter[str] = field(default_factory=Counter)
    removed: int = 0
    rounds: int = 0
    runs: int = 0
    two_at_once: int = 0
    suspended: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    set_aside: Counter[str] = field(default_factory=Counter)
    cells: int = 0
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)

    def text(self) -> str:
        """All of it as JSON."""
        return json.dumps(vars(self), sort_keys=True)


class Chaos:
    """Kills and damages runs on one folder.

    Args:
        folder: an empty folder.
        seed: of all that is drawn.
        seconds: time of each epoch and of each attack of the grid.
    """

    def __init__(self, folder: Path, seed: int, seconds: float = 0.02) -> None:
        self._folder = folder
        self._dice = self._damaging = random.Random(seed)
        self._decks: dict[str, list[str]] = {}
        self.output = folder / "out"
        self._whole = folder / "whole"
        self.tally = Tally(seed)
        subprocess.run(command("plan", folder, seconds), cwd=ROOT, check=True, timeout=LONG)

    def run(self, kills: int, suspensions: bool = False) -> Tally:
        """Disturbs runs until something was killed as often as given; then heals, and compares."""
        began = time.monotonic()
        self._finish(self._start(self._whole))
        while not self._enough(kills) and len(self.tally.problems) < 5:
            self._round(suspensions)
        self._need_every_model()
        self._heal()
        self.compare()
        self.tally.seconds = round(time.monotonic() - began, 1)
        return self.tally

    def _enough(self, kills: int) -> bool:
        """Whether that many kills were made, each kind of thing was done, and there are records.

        After more rounds than kills, what is missing then never happens: the test says so.
        """
        tally = self.tally
        done = tally.two_at_once and tally.damages and tally.removed and self._records()
        return sum(tally.kills.values()) >= kills and bool(done or tally.rounds > kills)

    def _records(self) -> list[Path]:
        """Records of cells that have some content."""
        return [path for path in files_in(self.output, "cells") if path.is_file() and path.stat().st_size]

    def _need_every_model(self) -> None:
        """Damages records such that all models are needed: no run reads a checkpoint that no cell needs."""
        whole = Store(self._whole)
        chosen = {}
        for path in self._records():
            if cell := whole.cell(path.stem):
                # An attack that was made on another model needs that one, too.
                chosen[cell.model_id, "transfer" in cell.key.attack] = path
        for path in chosen.values():
            truncate(self._dice, path)

    def _start(self, output: Path, *options: str) -> Session:
        self.tally.runs += 1
        log = self._folder / f"run-{self.tally.runs:04}.log"
        return Session(self._folder, output, log, *options)

    def _round(self, suspensions: bool) -> None:
        tally = self.tally
        tally.rounds += 1
        # What was drawn before depends on how fast this machine is, and how much damage is, on the files.
        dice = self._dice = random.Random(f"{tally.seed}, {tally.rounds}")
        self._damaging = random.Random(f"{tally.seed}, {tally.rounds}, damage")
        self._damage()
        options = ["--retry-failed"] if dice.random() < 0.7 else []
        count = 2 if dice.random() < 0.5 else 1
        tally.two_at_once += count == 2
        runs = [self._start(self.output, *options) for _ in range(count)]
        if dice.random() < 0.85:
            runs[-1].wait_for_workers()
        else:  # while it starts
            time.sleep(dice.uniform(0.0, 3.0))
        for _ in range(dice.randint(1, 8)):
            time.sleep(dice.uniform(0.0, 0.3))
            self._kill(dice.choice(runs), SURVIVED)
        if suspensions and dice.random() < 0.1:
            tally.suspended += suspend(runs[0], dice)
        for run in runs:
            time.sleep(dice.uniform(0.0, 0.5))
            if dice.random() < 0.3:
                self._damage()
            self._kill(run, FATAL)
        for run in runs:
            self._finish(run)

    def _damage(self) -> None:
        store = self.output / "store"
        for _ in range(self._damaging.choice([0, 1, 2, 4, 8])):
            if kind := damage(self._damaging, store):
                self.tally.damages[kind] += 1
        if self._damaging.random() < 0.5:
            self.tally.removed += remove_many(self._damaging, store)

    def _kill(self, run: Session, kinds: dict[str, Kill]) -> None:
        name = self._dealt(kinds)
        run.forked()
        if run.alive and kinds[name](run, self._dice):
            self.tally.kills[name] += 1
            run.killed = name if kinds is FATAL else run.killed
            run.hurt += 1

    def _dealt(self, kinds: dict[str, Kill]) -> str:
        """The next of some kinds in a random order, so that few kills are of all kinds."""
        deck = self._decks.setdefault(min(kinds), [])
        if not deck:
            # A fork server takes seconds to start again, in which there is nothing else to kill.
            deck += [
                name for name in sorted(kinds) for _ in range(1 if kinds is FATAL or "fork" in name else 2)
            ]
            self._dice.shuffle(deck)
        return deck.pop()

    def _finish(self, run: Session) -> int:
        """Waits for the end of a run and of all its processes; notes what should not be."""
        problems = self.tally.problems
        try:
            status = run.process.wait(LONG)
        except subprocess.TimeoutExpired:
            send_to_all(run, signal.SIGKILL)
            status = run.process.wait()
            problems.append(f"{run.log.name}: it did not end after {run.killed or 'its work'}")
        deadline = time.monotonic() + 30.0
        while (left := run.left()) and time.monotonic() < deadline:
            time.sleep(0.05)
        if left:
            problems.append(f"{run.log.name}: {len(left)} of its processes outlive it: {left[0].text}")
            send([one.pid for one in left], signal.SIGKILL)
        self.tally.statuses[f"{status} after {run.killed or 'no kill'}"] += 1
        said = run.log.read_text(errors="replace")
        # A manifest that is damaged after the run has written it last; the board is read from it.
        unread = "The grid of the run, " in said and "what was done is kept" in said
        expected = {0, 1} | ({130, 143, -9, -15, -2} if run.killed else set()) | ({2} if unread else set())
        if status not in expected:
            problems.append(f"{run.log.name}: status {status} after {run.killed or 'no kill'}: {said[-300:]}")
        if "Traceback" in said and run.lived:
            problems.append(f"{run.log.name}: a traceback: {said[-600:]}")
        # A run whose workers were all killed again and again before they began a job gives up. A kill may end
        # several of them: those that the killed process was to fork, too.
        gives_up = run.hurt >= 2 and "workers in a row ended before they began a job" in said
        if not run.killed and "error:" in said and not (gives_up or unread):
            problems.append(f"{run.log.name}: {said[-300:]}")
        return status

    def _heal(self) -> None:
        """One run must make everything again, and one more must find nothing to do."""
        problems = self.tally.problems
        if self._finish(self._start(self.output, "--retry-failed")):
            problems.append("the run at the end left cells that are not done")
        before = self._written()
        if self._finish(self._start(self.output)) or self._written() != before:
            problems.append("a second run at the end did something again")

    def _written(self) -> dict[str, int]:
        kinds = ("cells", "models", "arrays")
        every = [path for path in files(self.output / "store") if path.parent.name in kinds]
        return {str(path): path.stat().st_mtime_ns for path in every}

    def compare(self) -> None:
        """Notes where the two folders differ, and what is left that should be gone."""
        self.tally.problems += differences(self._whole, self.output)
        self.tally.cells = len(files_in(self._whole, "cells"))
        self.tally.set_aside += set_aside(self.output)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--seconds", type=float, default=0.02, help="time of each epoch and of each attack")
    parser.add_argument("--keep", type=Path, help="an empty folder, which is kept")
    given = parser.parse_args()
    print(f"seed {given.seed}", flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        tally = Chaos(folder, given.seed, given.seconds).run(given.kills, suspensions=True)
    for problem in tally.problems:
        print(problem)
    print(tally.text())
    return 1 if tally.problems else 0


if __name__ == "__main__":
    sys.exit(main())
