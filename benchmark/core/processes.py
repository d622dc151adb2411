"""Whether a process of this machine lives, and which processes are of this machine."""

from __future__ import annotations

import os
import sys
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
