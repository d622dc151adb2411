"""Leases: which run works on which job, so that several runs on one output folder share the work.

A lease is a file that is created in one step by a link, which a network file system holds too; nothing relies
on locks, or on clocks that agree. Each run has a heartbeat file with a counter. Another run that waits for a
lease watches the counter by its own clock, and takes over when the counter stands still.
"""

from __future__ import annotations

import os
import secrets
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from pydantic import ValidationError

from benchmark.core.errors import StorageFullError
from benchmark.core.files import set_aside, stop_when_full, write_atomically
from benchmark.core.processes import lives, machine
from benchmark.core.unfinished import remove_unfinished, unfinished_prefix
from benchmark.records.record import Record

_BEATS = 12
"""Heartbeats in the time after which a run without any counts as dead."""


class Heartbeat(Record):
    """A run's sign of life.

    Attributes:
        run: the run's unique name.
        host, pid: where it runs; for messages.
        machine: names the running system and its process table; equal names see the same processes.
        beat: a counter that grows while the run lives.
    """

    run: str
    host: str
    pid: int
    machine: str = ""
    beat: int = 0


class Lease(Record):
    """A run's claim to a job.

    Attributes:
        run, host, pid, machine: as in the run's heartbeat.
        since: seconds since 1970 by the owner's clock, for messages only.
    """

    run: str
    host: str
    pid: int
    machine: str = ""
    since: float


class Leases:
    """The leases of one run, kept alive by a thread within the `with` block, and removed after it.

    A takeover creates a file of the next generation, `<job>.<n + 1>.json` beside `<job>.<n>.json`, so only
    one of several runs succeeds. A run that was suspended and wakes up may work on a job that another has
    taken over meanwhile: then both write the same values, each file in one step, so nothing is lost.

    Args:
        folder: where the files are; made when missing.
        patience: seconds without a heartbeat after which another run counts as dead.
    """

    def __init__(self, folder: Path, patience: float = 60.0) -> None:
        self.run = secrets.token_hex(8)
        self.folder = folder.resolve()
        self._patience = patience
        self._me = Heartbeat(run=self.run, host=socket.gethostname(), pid=os.getpid(), machine=machine())
        self._held: dict[str, Path] = {}
        self._seen: dict[str, tuple[int, float]] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> Leases:
        self.folder.mkdir(parents=True, exist_ok=True)
        remove_unfinished(self.folder)
        self._write_heartbeat(0)
        self._thread.start()
        self._sweep()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        for job_id in list(self._held):
            self.release(job_id)
        self._sweep()
        self._heartbeat_path(self.run).unlink(missing_ok=True)

    def take(self, job_id: str) -> Lease | None:
        """Takes the lease of a job, unless another run that lives has it.

        Returns:
            None when this run has the lease; else the lease of the other run.

        Raises:
            OSError: when the folder cannot be written.
        """
        if job_id in self._held:
            return None
        found = {number: _read(path) for number, path in self._found(job_id).items()}
        last = found.get(max(found, default=-1))
        if last is not None and self._lives(last):
            return last
        number = max(found, default=-1) + 1
        path = self.folder / f"{job_id}.{number}.json"
        mine = Lease(**self._me.model_dump(exclude={"beat"}), since=time.time())
        if not _create(path, mine):
            return _read(path) or mine  # it was faster, and may have ended already
        self._held[job_id] = path
        # Another run may have created one at the same time, when it saw other files than this one did.
        others = {n: other for n, other in self._found(job_id).items() if n != number}
        for n, other in others.items():
            rival = _read(other)
            if rival is not None and (n > number or rival != found.get(n)):
                self.release(job_id)
                return rival
        for other in others.values():
            _remove(other)
        return None

    def release(self, job_id: str) -> None:
        """Gives a lease back, where this run has it."""
        path = self._held.pop(job_id, None)
        if path is not None:
            path.unlink(missing_ok=True)

    def _found(self, job_id: str) -> dict[int, Path]:
        """The lease files of a job, by their generation."""
        paths = [path for path in self.folder.glob("*.json") if _job_of(path) == job_id]
        return {int(path.name.split(".")[-2]): path for path in paths}

    def _lives(self, lease: Lease) -> bool:
        """Whether a lease's run is alive, as far as this one has seen."""
        if lease.run == self.run:
            return True
        if lives(lease.pid, lease.machine, self._me.machine) is False:
            return False
        heartbeat = _read_heartbeat(self._heartbeat_path(lease.run))
        beat = -1 if heartbeat is None else heartbeat.beat
        now = time.monotonic()
        known, since = self._seen.get(lease.run, (None, now))
        if known != beat:
            since = now
        self._seen[lease.run] = (beat, since)
        return now - since < self._patience

    def _sweep(self) -> None:
        """Removes what dead runs have left, as far as they are known to be dead."""
        for path in self.folder.glob("*.json"):
            lease = _read(path)
            job_id = _job_of(path)
            alive = lease is not None and self._lives(lease)  # a damaged one is no lease
            # A lease is taken, then released: another run may be taking it over.
            if job_id and not alive and self.take(job_id) is None:
                self.release(job_id)
        for path in self.folder.glob("*.run"):
            heartbeat = _read_heartbeat(path)
            if path.stem == self.run:
                continue
            if heartbeat is None or heartbeat.run != path.stem:  # damaged: nothing is known of its process
                heartbeat = Heartbeat(run=path.stem, host="", pid=0)
            lease = Lease(**heartbeat.model_dump(exclude={"beat"}), since=0.0)
            if not self._lives(lease):
                _remove(path)
                path.with_suffix(".stop").unlink(missing_ok=True)

    def _heartbeat_path(self, run: str) -> Path:
        return self.folder / f"{run}.run"

    def _write_heartbeat(self, beat: int) -> None:
        text = self._me.model_copy(update={"beat": beat}).model_dump_json()
        write_atomically(self._heartbeat_path(self.run), lambda path: path.write_text(text, encoding="utf-8"))

    def _beat(self) -> None:
        beat = 0
        while not self._ended.wait(self._patience / _BEATS):
            beat += 1
            with suppress(
                OSError, StorageFullError
            ):  # a full disk is for the jobs to report; the next beat may succeed
                self._write_heartbeat(beat)


def _create(path: Path, lease: Lease) -> bool:
    """Creates a lease file with its content in one step; returns whether this call did it.

    Raises:
        StorageFullError: when the disk is full.
        OSError: when the folder cannot be written.
    """
    temporary = path.with_name(f"{unfinished_prefix()}{secrets.token_hex(8)}")
    try:
        temporary.write_text(lease.model_dump_json(), encoding="utf-8")
        return _link(temporary, path, lease)
    except OSError as error:
        stop_when_full(error, path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


def _link(temporary: Path, path: Path, lease: Lease) -> bool:
    try:
        os.link(temporary, path)
    except FileExistsError:
        # Over a network the answer may be lost, and the second try finds what the first one made.
        return _read(path) == lease
    except OSError:  # a file system without links; a reader may see the file before its content
        try:
            with path.open("x", encoding="utf-8") as file:
                file.write(lease.model_dump_json())
        except FileExistsError:
            return False
    return True


def _remove(path: Path) -> None:
    """Removes a file; a folder in its place is set aside."""
    if path.is_dir():
        set_aside(path, "a folder is in its place")
    else:
        path.unlink(missing_ok=True)


def _read(path: Path) -> Lease | None:
    """Reads a lease; None when it is gone or damaged."""
    try:
        return Lease.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def _read_heartbeat(path: Path) -> Heartbeat | None:
    try:
        return Heartbeat.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def _job_of(path: Path) -> str:
    """The id of the job of a lease file; empty for any other file."""
    job_id, _, number = path.name.removesuffix(".json").rpartition(".")
    return job_id if number.isdecimal() else ""
