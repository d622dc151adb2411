"""Runs in sessions of processes of their own, and what kills a part of one or all of it."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmark.core.source import ROOT

LONG = 120.0
"""Seconds that a run may take, on a machine with much else to do."""


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "tests.runner.tiny_run", *map(str, arguments)]


@dataclass
class Process:
    """A process as /proc shows it."""

    pid: int
    parent: int
    session: int
    text: str

    @classmethod
    def every(cls) -> list["Process"]:
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                state, parent, _, session = (folder / "stat").read_text().rpartition(")")[2].split()[:4]
                text = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:  # it has just ended
                continue
            if state not in "ZX":
                found.append(cls(int(folder.name), int(parent), int(session), text))
        return found


class Session:
    """A run of a grid, in a session of processes of its own.

    Args:
        folder: that of the plan.
        output: the output folder.
        log: takes what the run writes.
        options: of the command line.
    """

    def __init__(self, folder: Path, output: Path, log: Path, *options: str) -> None:
        self.log = log
        self.killed = ""
        self.hurt = 0
        self.lived = False
        arguments = ("run", folder, "--output", output, "--workers", 2, *options)
        with log.open("wb") as file:
            self.process = subprocess.Popen(
                command(*arguments), cwd=ROOT, stdout=file, stderr=file, start_new_session=True
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def forked(self) -> tuple[list[int], list[int]]:
        """The processes that workers are forked from, and the workers."""
        mine = [one for one in Process.every() if one.session == self.pid and "forkserver" in one.text]
        servers = [one.pid for one in mine if one.parent == self.pid]
        workers = [one.pid for one in mine if one.parent != self.pid]
        self.lived |= bool(workers)
        return servers, workers

    def wait_for_workers(self) -> None:
        deadline = time.monotonic() + LONG
        while self.alive and not self.forked()[1] and time.monotonic() < deadline:
            time.sleep(0.03)

    def left(self) -> list[Process]:
        return [one for one in Process.every() if one.session == self.pid]


def send(pids: list[int], *signals: int, pause: float = 0.0) -> bool:
    """Sends signals to processes; returns whether one of them was there."""
    sent = [_send(pid, number) for number in signals[:1] for pid in pids]
    for number in signals[1:]:
        time.sleep(pause)
        sent += [_send(pid, number) for pid in pids]
    return any(sent)


def _send(pid: int, number: int) -> bool:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def one_of(pids: list[int], dice: random.Random) -> list[int]:
    return [dice.choice(pids)] if pids else []


def send_to_all(session: Session, number: int) -> bool:
    try:
        os.killpg(session.pid, number)
    except ProcessLookupError:
        return False
    return True


Kill = Callable[[Session, random.Random], bool]
"""Kills something of a run; returns whether it was there."""

SURVIVED: dict[str, Kill] = {
    "SIGKILL of one worker": lambda run, dice: send(one_of(run.forked()[1], dice), signal.SIGKILL),
    "SIGKILL of all workers": lambda run, dice: send(run.forked()[1], signal.SIGKILL),
    "SIGKILL of the fork server": lambda run, dice: send(run.forked()[0], signal.SIGKILL),
    "SIGSEGV of a worker": lambda run, dice: send(run.forked()[1][:1], signal.SIGSEGV),
}  # fmt: skip
"""What a run survives."""

FATAL: dict[str, Kill] = {
    "SIGKILL of the run": lambda run, dice: send([run.pid], signal.SIGKILL),
    "SIGKILL of the run and its workers": lambda run, dice: send_to_all(run, signal.SIGKILL),
    "SIGINT": lambda run, dice: send([run.pid], signal.SIGINT),
    "SIGTERM": lambda run, dice: send([run.pid], signal.SIGTERM),
    "SIGTERM of the run and its workers": lambda run, dice: send_to_all(run, signal.SIGTERM),
    "SIGINT, twice": lambda run, dice: send([run.pid], *2 * [signal.SIGINT], pause=dice.uniform(0.0, 0.3)),
}  # fmt: skip
"""What ends a run."""


def suspend(run: Session, dice: random.Random) -> bool:
    """Stops a run for longer than others take it for alive, while its workers go on, and lets it go on."""
    return send([run.pid], signal.SIGSTOP, signal.SIGCONT, pause=dice.uniform(0.5, 4.0))
