"""Memory for a pool of images under attack: on the device, or on the CPU when the pool is too large."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from attacks import Attack, Images
from benchmark.core.errors import BenchmarkError
from benchmark.data import ImageSet
from benchmark.jobs.context import RunContext

USABLE = 0.8
"""Fraction of a worker's memory that pools may fill; activations (see `images_per_pass`) need the rest."""

USABLE_FOR_SPEED = 0.2
"""The same fraction where pools may as well be read batch by batch."""

_GB = 1e9


class Memory(NamedTuple):
    """Bytes of a device's memory, or of the CPU's.

    Attributes:
        free: what could still be filled now.
        total: all of it.
    """

    free: int
    total: int

    def part(self, workers: int) -> int:
        """The bytes that one of several workers may take: an equal part of all, but no more than is free.

        Not a part of the free bytes: other workers have already taken some of these, so whether a pool fits
        would depend on the order of the workers.
        """
        return min(self.free, self.total // workers)


class _Group(NamedTuple):
    """Where the kernel states the limits of a container (a control group)."""

    folder: str
    limit: str
    used: str
    prefix: str


_GROUPS = (
    _Group("sys/fs/cgroup", "memory.max", "memory.current", ""),
    _Group("sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_"),
)
"""Of version 2, and of version 1 (without a limit: more bytes than there are)."""


def fits_on_device(pool: int, held: int, device: int | None, host: int | None, copies: int = 0) -> bool:
    """Decides whether the whole pool goes to the device; raises when it fits nowhere.

    On the device there is the clean pool twice, once in batches, besides what the attack holds: three pools
    for most attacks. Else the clean pool is read batch by batch, and what the attack holds is on the CPU.

    Args:
        pool: bytes of the pool as float32.
        held: pools that the attack holds; 0 where nothing is attacked.
        device: bytes on the device that may be taken; None when the CPU is the device.
        host: bytes of the CPU's memory that may be taken; None when unknown.
        copies: pools that are held beside those of the attack where the pool is on the device.

    Raises:
        BenchmarkError: when the pool fits nowhere.
    """
    if device is not None:
        usable = USABLE * device
    else:
        usable = float("inf") if host is None else USABLE_FOR_SPEED * host
    if (2 + held + copies) * pool <= usable:
        return True
    if host is not None and held * pool > USABLE * host:
        raise BenchmarkError(
            f"The attack needs {held * pool / _GB:.1f} GB of memory for its images, and may take "
            f"{USABLE * host / _GB:.1f} of the {host / _GB:.1f} GB that are a worker's. Use fewer test "
            "classes, smaller images, fewer workers, or a machine with more memory."
        )
    return False


def place_images(
    pool: ImageSet, attack: Attack | None, context: RunContext, copies: int = 0
) -> Tensor | Images:
    """Moves the whole pool to the device where memory allows that; else returns the pool unchanged.

    Workers share the memory: each may take an equal part.

    Args:
        pool: the pool.
        attack: the attack; None where nothing is attacked.
        context: the context of the run.
        copies: pools that are held on the device beside those of the attack.

    Raises:
        BenchmarkError: when the attacked pool would not even fit into the CPU's memory.
    """
    held = 0 if attack is None else attack.pools_in_memory()
    device, host = (
        None if memory is None else memory.part(sharing)
        for memory, sharing in (
            (memory_of_device(context.device), context.sharing_device),
            (memory_of_host(), context.workers),
        )
    )
    if fits_on_device(pool_bytes(pool), held, device, host, copies):
        images = pool.images
        if (
            isinstance(images, Tensor)
            and images.dtype == torch.float32
            and images.device == torch.device(context.device)
        ):
            return images  # not a copy, which would take as much again
        return pool.batch(slice(None), context.device)
    return pool


def pool_bytes(images: Images) -> int:
    """The bytes of a pool as float32."""
    return 4 * len(images) * torch.Size(images.image_shape).numel()


def memory_of_device(device: str) -> Memory | None:
    """Reads the memory of a GPU, where memory that torch has reserved counts as free; None for the CPU."""
    if torch.device(device).type != "cuda":
        return None
    free, total = torch.cuda.mem_get_info(device)
    return Memory(free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device), total)


def memory_of_host(root: Path = Path("/")) -> Memory | None:
    """Reads the CPU's memory, within the limits of a container; None on other systems than Linux.

    Args:
        root: of the file system in which the kernel states them.
    """
    try:
        lines = (root / "proc/meminfo").read_text().splitlines()
        entries = {line.split(":")[0]: 1024 * int(line.split()[1]) for line in lines if line.endswith("kB")}
        free, total = entries["MemAvailable"], entries["MemTotal"]
    except (OSError, KeyError, ValueError, IndexError):
        return None
    for group in _GROUPS:
        try:
            limit, used = (
                int((root / group.folder / name).read_text()) for name in (group.limit, group.used)
            )
            stat = (root / group.folder / "memory.stat").read_text().splitlines()
        except (OSError, ValueError):  # no container, or one without a limit
            continue
        counted = dict(line.split() for line in stat)
        # Files that the kernel keeps in memory count as used, but give way.
        files = sum(int(counted.get(f"{group.prefix}{kind}", 0)) for kind in ("inactive_file", "active_file"))
        free, total = min(free, max(0, limit - used + files)), min(total, limit)
    return Memory(free, total)
