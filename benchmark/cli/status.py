"""`--status`: what of a run is done, running, failed and waiting, from its records alone."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from math import ceil
from pathlib import Path
from statistics import fmean

from benchmark.cli.usage_lines import UsageLines
from benchmark.core.cpu import cores
from benchmark.core.display_names import sentence_without_folders
from benchmark.core.output import say
from benchmark.records import CLEAN, CellKey, CellRecord, ModelKey, ModelRecord, RunManifest, Store
from benchmark.records.running import Running, running_jobs, saved_epochs, saved_states

LEASES = "leases"
SILENT = 60.0
"""Seconds without a sign of life after which a run may be dead."""

Attacked = tuple[str, str, str, float]
"""What the cells of one attack share: model, attack, norm, eps."""


@dataclass
class _State:
    """The jobs of a run by their state.

    Attributes:
        cells: number of cells by state.
        trainings: number of trainings by state.
        running: a line for each running job.
        failed: the labels of failed cells and trainings, by their reason.
        waiting: number of waiting cells by row.
        used: what jobs used of the machine.
        seconds: the estimated time that what is not done takes on one worker; None where nothing is known.
    """

    cells: Counter[str] = field(default_factory=Counter)
    trainings: Counter[str] = field(default_factory=Counter)
    running: list[str] = field(default_factory=list)
    failed: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    waiting: Counter[str] = field(default_factory=Counter)
    used: UsageLines = field(default_factory=UsageLines)
    seconds: float | None = None


def show_status(output: Path) -> int:
    """Writes what of the run in a folder is done, running, failed and waiting.

    Args:
        output: the folder that a run wrote to.

    Raises:
        UsageError: when the folder holds no run.
    """
    store = Store(output)
    manifest = store.manifest()
    leases = running_jobs(store.root / LEASES)
    alive = {job: lease for job, lease in leases.items() if not lease.ended}
    say(*_lines(output, manifest, _state(store, manifest, alive)))
    say(*_interrupted(len(leases) - len(alive)), *_saved_elsewhere(store, manifest, leases))
    return 0


def _interrupted(count: int) -> Iterable[str]:
    if count:
        yield f"Interrupted: {count} jobs, whose run has ended. The same command resumes them."


def _saved_elsewhere(store: Store, manifest: RunManifest, leases: dict[str, Running]) -> Iterable[str]:
    """Says how much the saved states of jobs take that are not of this run."""
    known = {*(ref.id for ref in manifest.models), *(ref.id for ref in manifest.cells), *leases}
    sizes = [size for job, size in saved_states(store.root / "unfinished").items() if job not in known]
    if sizes:
        yield (
            f"Saved states of other jobs, of other commands or changed code: {len(sizes)} files, "
            f"{sum(sizes) / 1e6:,.1f} MB, in {store.root / 'unfinished'}. Delete those that no command "
            "is to resume."
        )


def _state(store: Store, manifest: RunManifest, leases: dict[str, Running]) -> _State:
    state = _State()
    short = manifest.short_names
    times = _Times()
    models: dict[str, ModelKey] = {ref.id: ref.key for ref in manifest.models}
    stopped: dict[str, str] = {}
    for model_id, key in models.items():
        record = store.model(model_id)
        label = f"{_row(key, short)}: training"
        # A failed job may be tried again.
        done = record is not None and (record.status == "done" or model_id not in leases)
        what: str = record.status if record and done else "running" if model_id in leases else "waiting"
        state.trainings[what] += 1
        times.add_training(key, record)
        if record is not None:
            state.used.add(record.usage, record.seconds)
        if record is not None and what not in ("done", "running"):
            stopped[model_id] = record.status
        if what == "running":
            epoch, epochs = saved_epochs(store.unfinished(model_id))
            progress = f" (epoch {epoch} of {epochs} is saved)" if epochs else ""
            state.running.append(f"{label}{progress} {_where(leases[model_id])}")
        elif record is not None and what == "failed":
            state.failed[sentence_without_folders(record.reason)].append(label)
    # One job serves all cells of an attack, and has the lease of one of them.
    refs = {ref.id: ref for ref in manifest.cells}
    claimed = {_attacked(ref.model_id, ref.key): leases[ref.id] for ref in refs.values() if ref.id in leases}
    for ref in refs.values():
        found = store.cell(ref.id)
        if found is not None and found.arrays and store.arrays_stamp(ref.id) is None:
            found = None  # its arrays are gone, so it is computed anew
        attacked = _attacked(ref.model_id, ref.key)
        what = found.status if found else stopped.get(ref.model_id, "waiting")
        if attacked in claimed and what != "done":
            what = "running"
        state.cells[what] += 1
        if found is not None:
            state.used.add(found.usage, found.seconds)
        if found is not None or what in ("running", "waiting"):
            times.add_cell(attacked, ref.key, found)
        if found is not None and what == "failed":
            state.failed[sentence_without_folders(found.reason)].append(_cell(ref.key, short))
        elif what == "waiting":
            state.waiting[_row(ref.key, short)] += 1
    keys = {_attacked(ref.model_id, ref.key): ref.key for ref in refs.values()}
    state.running += [f"{_cell(keys[job], short)} {_where(lease)}" for job, lease in claimed.items()]
    # Trainings that are no row of the board are not in its grid: sources of attacks, and teachers.
    known = {*models, *refs}
    state.running += [f"job {job} {_where(lease)}" for job, lease in leases.items() if job not in known]
    state.seconds = times.left()
    return state


class _Times:
    """Estimates the time left from the jobs that are done: of the same kind, else of any."""

    def __init__(self) -> None:
        self._done: dict[str, list[float]] = defaultdict(list)
        self._left: dict[str | Attacked, str] = {}

    def add_training(self, key: ModelKey, record: ModelRecord | None) -> None:
        """Adds a training: done, or to do."""
        if record is None:
            self._left[f"{key}"] = f"training of {key.defense}"
        elif record.status == "done":
            self._done[f"training of {key.defense}"].append(record.seconds)

    def add_cell(self, attacked: Attacked, key: CellKey, record: CellRecord | None) -> None:
        """Adds a cell; several of one attack share its time."""
        kind = f"{key.attack} on {key.defense}"
        if record is None:
            self._left[attacked] = kind
        elif record.status == "done":
            self._done[kind].append(record.seconds)

    def left(self) -> float | None:
        """Seconds of all jobs that are to do, one after another; None where no job is done."""
        every = [seconds for kind in self._done.values() for seconds in kind]
        if not every:
            return None if self._left else 0.0
        # In the order of the alternatives: the same defense and attack, the same attack, anything.
        by_attack: dict[str, list[float]] = defaultdict(list)
        for kind, seconds in self._done.items():
            by_attack[_first_word(kind)] += seconds
        return sum(
            fmean(self._done.get(kind) or by_attack.get(_first_word(kind)) or every)
            for kind in self._left.values()
        )


def _first_word(kind: str) -> str:
    return kind.split(" o", 1)[0]  # before "of" or "on"


def _attacked(model_id: str, key: CellKey) -> Attacked:
    return model_id, key.attack, key.norm, key.eps


def _row(key: ModelKey, short: dict[str, str]) -> str:
    return f"{short.get(key.dataset, key.dataset)}, {short.get(key.defense, key.defense)}, seed {key.seed}"


def _cell(key: CellKey, short: dict[str, str]) -> str:
    attack = (
        "clean" if key.attack == CLEAN else f"{short.get(key.attack, key.attack)} {key.norm} {key.eps:.4g}"
    )
    return f"{_row(key, short)}: {attack}"


def _where(lease: Running) -> str:
    since = ""
    if lease.since:
        since = f" since {datetime.fromtimestamp(lease.since, timezone.utc):%Y-%m-%d %H:%M:%S} UTC"
    silent = f"; no sign of life for {_span(lease.silent)}" if lease.silent > SILENT else ""
    return f"on {lease.host} (process {lease.pid}){since}{silent}"


def _span(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, ceil(seconds))} s"
    return f"{ceil(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _lines(output: Path, manifest: RunManifest, state: _State) -> Iterable[str]:
    yield f"{output}: {_counts('cells', state.cells)}; {_counts('trainings', state.trainings)}."
    left = {"running", "waiting"}
    if any(state.cells[what] or state.trainings[what] for what in left):
        workers = manifest.config.get("workers") or cores()
        if state.seconds is None:
            yield "Time left: unknown, since no job is done yet."
        else:
            yield f"Time left: about {_span(state.seconds / int(workers))} on {workers} workers."
    yield from state.used.lines()
    yield from _list("Running", state.running)
    failures = [
        f"{', '.join(labels[:3])}{f' and {len(labels) - 3} more' if len(labels) > 3 else ''}: {reason}"
        for reason, labels in ((reason, list(dict.fromkeys(found))) for reason, found in state.failed.items())
    ]
    yield from _list("Failed", failures)
    yield from _list("Waiting", [f"{row}: {count} cells" for row, count in state.waiting.items()])


def _counts(noun: str, counts: Counter[str]) -> str:
    listed = ", ".join(
        f"{counts[what]} {what}"
        for what in ("done", "running", "failed", "skipped", "waiting")
        if counts[what]
    )
    return f"{counts.total()} {noun}{f' ({listed})' if listed else ''}"


def _list(title: str, lines: list[str]) -> Iterable[str]:
    if lines:
        yield f"{title}:"
        yield from (f"  {line}" for line in lines)
