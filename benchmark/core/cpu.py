"""The processors and the memory allocator of this process."""

from __future__ import annotations

import ctypes
import os
import sys


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


_KEPT = 512 * 2**20
"""Bytes of freed memory that the allocator keeps."""

_LARGEST = 32 * 2**20
"""Size in bytes of the largest blocks that the allocator may keep; the largest that glibc allows."""


def keep_freed_memory() -> None:
    """Let glibc's allocator keep the memory that is freed, for the rest of the process.

    By default it gives the memory of a forward pass back to the system and asks for it again in the next;
    the page faults take about a fifth of the time of a small network. Without glibc nothing changes.
    """
    if not sys.platform.startswith("linux"):
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:  # another C library
        return
    trim_threshold, mmap_threshold = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of malloc.h
    mallopt(trim_threshold, _KEPT)
    mallopt(mmap_threshold, _LARGEST)
