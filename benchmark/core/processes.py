"""Processes of this machine: which they are, whether one lives, how it ended, and with whom it ends."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from multiprocessing.process import BaseProcess
from pathlib import Path


def machine() -> str:
    """Names the running system and its process table; empty where that is unknown."""
    if sys.platform != "linux":
        return ""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def lives(pid: int, where: str, here: str) -> bool | None:
    """Whether a process lives; None where this machine cannot know.

    Args:
        pid: its id.
        where: `machine()` where it runs; empty where that is unknown.
        here: `machine()` of this process.
    """
    if not where or where != here:
        return None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # it is another user's, or no id
        pass
    return True


def how_ended(code: int) -> str:
    """Describes an exit code as Python gives it, negative for a signal."""
    if code >= 0:
        return f"exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"killed by {name}; out of memory?" if name == "SIGKILL" else f"killed by {name}"


def leave_if_forked(here: int) -> None:
    """Ends this process where a model forked it, and let it go on as if it were the one that runs the model.

    Args:
        here: id of the process that runs the model.
    """
    if os.getpid() != here:
        os._exit(1)


def end_with_parent() -> None:
    """Lets this process, which `multiprocessing` started, end when its parent does, however that ends."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)
