"""Where a pool of images is kept while it is attacked: on the device, or on the CPU when it is too large."""

from __future__ import annotations

from pathlib import Path

import torch

from attacks import Images
from benchmark.core.errors import BenchmarkError

USABLE = 0.8
"""Share of the free memory that pools may fill; activations and the system need the rest."""

USABLE_FOR_SPEED = 0.2
"""The same share where pools may as well be read batch by batch: other workers use that memory too."""

_GB = 1e9


def fits_on_device(pool: int, held: int, device: int | None, host: int | None) -> bool:
    """Whether a pool is put on the device as a whole; if not, it must fit into the CPU's memory.

    On the device there is the clean pool twice, once in batches, besides what the attack holds: three pools
    for most attacks. Else the clean pool is read batch by batch, and what the attack holds is on the CPU.

    Args:
        pool: bytes of the pool as float32.
        held: pools that the attack holds; 0 where nothing is attacked.
        device: free bytes on the device; None when the CPU is the device.
        host: free bytes of the CPU's memory; None when nobody knows.

    Raises:
        BenchmarkError: when the pool fits nowhere.
    """
    if device is not None:
        usable = USABLE * device
    else:
        usable = float("inf") if host is None else USABLE_FOR_SPEED * host
    if (2 + held) * pool <= usable:
        return True
    if host is not None and held * pool > USABLE * host:
        raise BenchmarkError(
            f"The attack needs {held * pool / _GB:.1f} GB of memory for its images, and may take "
            f"{USABLE * host / _GB:.1f} of the {host / _GB:.1f} GB that are free. Use fewer test classes, "
            "smaller images, fewer workers, or a machine with more memory."
        )
    return False


def pool_bytes(images: Images) -> int:
    """Bytes of a pool as float32."""
    return 4 * len(images) * torch.Size(images.image_shape).numel()


def free_on_device(device: str) -> int | None:
    """Free bytes on the device, what torch has set aside included; None for the CPU."""
    if torch.device(device).type != "cuda":
        return None
    free, _ = torch.cuda.mem_get_info(device)
    return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)


def free_on_host(root: Path = Path("/")) -> int | None:
    """Bytes of memory that this process could still fill, within the limit of a container; None off Linux.

    Args:
        root: of the file system in which the kernel tells.
    """
    try:
        lines = (root / "proc/meminfo").read_text().splitlines()
        free = next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError, IndexError):
        return None
    group = root / "sys/fs/cgroup"
    try:
        limit, used = (int((group / name).read_text()) for name in ("memory.max", "memory.current"))
        stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):  # no container, or one without a limit
        return free
    # Files that the kernel keeps in memory count as used, but give way.
    return max(0, min(free, limit - used + int(stat.get("inactive_file", 0))))
