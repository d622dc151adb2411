"""Which jobs of a run are being worked on, read from its leases, and how far its trainings are."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from benchmark.core.processes import lives, machine


@dataclass(frozen=True)
class Running:
    """A job that a run has claimed.

    Attributes:
        host, pid: where the run is.
        since: seconds since 1970, by the run's own clock; 0 where unknown.
        silent: seconds since the run's last sign of life, by the clock of the folder's file system.
        ended: whether the process of the run is known to have ended.
    """

    host: str
    pid: int
    since: float
    silent: float
    ended: bool = False


def running_jobs(folder: Path) -> dict[str, Running]:
    """Reads the leases in a folder, by the id of their job; damaged ones are left out.

    Args:
        folder: holds a file `<job>.json`, or `<job>.<n>.json`, of which the highest counts, for each lease.
    """
    found: dict[str, tuple[int, Running]] = {}
    for path in folder.glob("*.json") if folder.is_dir() else ():
        job, _, number = path.stem.partition(".")
        generation = int(number) if number.isdecimal() else 0
        lease = _read(path, folder)
        if lease is not None and generation >= found.get(job, (0, lease))[0]:
            found[job] = generation, lease
    return {job: lease for job, (_, lease) in found.items()}


def saved_epochs(state: Path) -> tuple[int, int]:
    """Reads the epochs done and all epochs from a training's saved state; 0 of 0 where there is none."""
    try:
        with safe_open(state, framework="numpy") as file:
            notes = json.loads(file.metadata()["about"])["notes"]
        return int(notes["epoch"]), int(notes["epochs"])
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        return 0, 0


def saved_states(folder: Path) -> dict[str, int]:
    """Lists the sizes in bytes of the saved states of running or interrupted jobs, by the job's id."""
    return {path.stem: path.stat().st_size for path in folder.glob("*.safetensors")}


def _read(path: Path, folder: Path) -> Running | None:
    try:
        lease: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        beats = [file.stat().st_mtime for file in (path, folder / f"{lease['run']}.run") if file.exists()]
        return Running(
            host=str(lease["host"]),
            pid=int(lease["pid"]),
            since=float(lease.get("since", 0.0)),
            silent=max(0.0, time.time() - max(beats)),
            ended=lives(int(lease["pid"]), str(lease.get("machine", "")), machine()) is False,
        )
    except (OSError, KeyError, TypeError, ValueError):
        return None
