"""Errors that a user can act on: each is one clear line, never a traceback."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path

QUOTE_PATHS = """A path with a comma or a space needs double quotes, as in 'folder:"/my, data"'."""
"""What to do where a list was split within a path."""


class BenchmarkError(Exception):
    """An error that the message explains; the cell fails, the run continues."""

    def __str__(self) -> str:
        """Return the message as one line, even where it quotes several."""
        return " ".join(line.strip() for line in super().__str__().splitlines())


class UsageError(BenchmarkError):
    """The command, configuration or plugin is wrong; nothing is run (exit status 2)."""


class StopRunError(BenchmarkError):
    """The run itself cannot continue; it ends with one line, and no record of a running job is written."""


class SourceError(StopRunError):
    """A worker has other code than the run that started it; nothing that it computes may be recorded."""


class StorageFullError(StopRunError):
    """A file cannot be written because the disk is full, or the user's quota is used up."""


class TrainingError(BenchmarkError):
    """Training diverged, for example with a loss that is not a number."""


class AttackError(BenchmarkError):
    """An attack left its ball or its range, or produced a value that is not a number."""


class ObjectiveError(AttackError):
    """The gradient of an attack's objective, not that of the model, is not finite."""


class CheckpointError(BenchmarkError):
    """A checkpoint is missing, damaged, or does not belong to the model it is loaded into."""


class MisfitError(CheckpointError):
    """A checkpoint has other names or shapes than the model that it is loaded into."""


class StoredFileError(CheckpointError):
    """A stored file cannot be used.

    Args:
        path: the file.
        reason: what is wrong with it, as a clause.
    """

    advice = "cannot be used ({reason}); delete it and run again."

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path} {self.advice.format(reason=reason)}")
        self.path = path
        self.reason = reason

    def __reduce__(self) -> tuple[type[StoredFileError], tuple[Path, str]]:
        return type(self), (self.path, self.reason)


class DamagedFileError(StoredFileError):
    """A stored file is not what was written: cut off, changed, or a copy of another one."""


class UnreadableFileError(StoredFileError, UsageError):
    """A stored file is there and cannot be read, as for want of permission; it may be sound."""

    advice = "cannot be read: {reason}. Make it readable, or delete it, and run again."


class InterruptedJobError(StopRunError):
    """A job has saved its state because the run is being stopped."""


class Stopped(KeyboardInterrupt):
    """A signal has stopped the run.

    Args:
        signum: the signal's number.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.exit_status = 128 + signum


class StoppedAtOnce(Stopped):
    """A signal has stopped the run, and no board is to be written: a second one, or one outside of jobs."""


def did_you_mean(name: str, valid: Iterable[str], cutoff: float = 0.5) -> str:
    """Build the question for the nearest valid name, with a space before it; empty where none is near.

    Args:
        name: the name as the user wrote it.
        valid: every valid name.
        cutoff: how similar a name must be, from 0 to 1 (difflib's ratio).
    """
    near = difflib.get_close_matches(name, valid, n=1, cutoff=cutoff)
    return f" Did you mean '{near[0]}'?" if near else ""


def unknown_name(kind: str, name: str, valid: Iterable[str]) -> UsageError:
    """Build the error for a name that does not exist, with the nearest valid name and the list of all.

    For a name that looks like a part of a path, the message also says how to write a path.

    Args:
        kind: what the name stands for, as worded in the message ("defense", "parameter of pgd", ...).
        name: the name as the user wrote it.
        valid: every valid name.
    """
    names = sorted(valid)
    hint = did_you_mean(name, names)
    listed = ", ".join(names) if names else "none"
    path = f" {QUOTE_PATHS}" if {"/", "\\"} & {*name} or name.startswith("~") else ""
    return UsageError(f"Unknown {kind} '{name}'.{hint} Valid: {listed}.{path}")
