"""The connection to a Ray cluster, and the resources of its nodes."""

from __future__ import annotations

import importlib
import logging
import math
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from benchmark.core.cpu import cores
from benchmark.core.errors import UsageError

_SECONDS = 30.0
"""Seconds within which the head of a cluster must answer."""

_OBJECT_STORE = 200 * 2**20
"""Bytes of shared memory of a local cluster, which sees the output folder, so that no files are sent."""

_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # else Ray prints a notice about it
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".*",  # messages of nodes, which would go to this process's stdout
}
_WITH_TOKEN = {"RAY_AUTH_MODE": "token"}
"""Lets Ray send the user's token, which a cluster wants where its head was started beside one."""

_FINEST = 10_000
"""Ray's resources are multiples of 1 / 10,000."""


@dataclass(frozen=True)
class Node:
    """A node of a cluster that is alive.

    Attributes:
        id: Ray's id of the node.
        name: the host's name and its address.
        resources: amounts by name, such as "CPU", "GPU" and "memory" (in bytes).
    """

    id: str
    name: str
    resources: Mapping[str, float]


@dataclass(frozen=True)
class JobResources:
    """What one job takes of a node.

    Attributes:
        cpus: CPUs, which are its threads on a GPU; on a CPU it has one.
        jobs_per_gpu: how many jobs share a GPU; 0 for jobs without one.
        memory: bytes.
    """

    cpus: int = 1
    jobs_per_gpu: int = 0
    memory: int = 0

    @property
    def gpus(self) -> float:
        """The part of a GPU."""
        return math.floor(_FINEST / self.jobs_per_gpu) / _FINEST if self.jobs_per_gpu else 0.0

    def __str__(self) -> str:
        gpu = f"{self.gpus:g} GPU, " if self.jobs_per_gpu else ""
        return f"{self.cpus} CPU, {gpu}{self.memory / 1e9:.1f} GB"

    def options(self) -> dict[str, Any]:
        """The arguments of a Ray task."""
        return {"num_cpus": self.cpus, "num_gpus": self.gpus, "memory": self.memory or None}

    def fitting(self, node: Node) -> int:
        """How many such jobs a node has room for when it is idle."""
        fitting = int(node.resources.get("CPU", 0.0) // self.cpus)
        if self.memory:
            fitting = min(fitting, int(node.resources.get("memory", 0.0) // self.memory))
        if self.jobs_per_gpu:
            fitting = min(fitting, int(node.resources.get("GPU", 0.0)) * self.jobs_per_gpu)
        return fitting


def check_installed() -> None:
    """Checks that Ray can be imported, without importing it.

    Raises:
        UsageError: when it is not installed.
    """
    if find_spec("ray") is None:
        raise UsageError(
            "--executor ray needs Ray, which is not installed: python -m pip install 'ray>=2.52'."
        )


def load_ray() -> ModuleType:
    """Imports Ray, without reports of its usage; settings in the environment count at this time.

    Raises:
        UsageError: when it is not installed.
    """
    check_installed()
    os.environ.update(_SETTINGS)
    return importlib.import_module("ray")


def connect(address: str | None) -> None:
    """Connects this process to a cluster, once; where there is none, one is started on this machine.

    Args:
        address: HOST:PORT of the head; None for the cluster that this machine is a node of, or the one that
            the environment variable RAY_ADDRESS names, and without both for a new one.

    Raises:
        UsageError: when Ray is not installed, or nothing answers at the address.
    """
    if "ray" in sys.modules and load_ray().is_initialized():
        return
    check_installed()
    asked = address or os.environ.get("RAY_ADDRESS")
    found = asked or _running_here()
    if asked is not None:
        _check_address(asked)
    if found is not None:
        _check_cluster(found)
    ray = load_ray()
    quiet = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    with _handlers_kept():
        if found is not None:
            _join(ray, found, **quiet)
            return
        ray.init(
            address="local",
            num_cpus=cores(),
            object_store_memory=_OBJECT_STORE,
            include_dashboard=False,
            **quiet,
        )


def nodes() -> list[Node]:
    """Lists the nodes of the cluster that are alive."""
    ray = load_ray()
    return [
        Node(
            found["NodeID"],
            f"{found['NodeManagerHostname']} ({found['NodeManagerAddress']})",
            found["Resources"],
        )
        for found in ray.nodes()
        if found["Alive"]
    ]


def _running_here() -> str | None:
    """The address of a cluster that this machine is a node of, from the file that Ray keeps; None without."""
    file = Path(os.environ.get("RAY_TMPDIR") or "/tmp") / "ray" / "ray_current_cluster"
    try:
        address = file.read_text(encoding="ascii").strip()
        host, _, port = address.rpartition(":")
        socket.create_connection((host, int(port)), _SECONDS).close()
    except (OSError, ValueError):  # no file, or that of a cluster that has ended
        return None
    return address


def _check_address(address: str) -> None:
    """Checks that something listens at an address, since Ray itself would try for minutes.

    Raises:
        UsageError: when nothing does, or this is no address.
    """
    host, _, port = address.rpartition(":")
    if "/" in address or not host or not port.isdecimal() or int(port) > 65535:
        raise UsageError(
            f"--ray-address {address}: give HOST:PORT of the head of the cluster, as 10.0.0.1:6379, and "
            "start the run on one of its nodes."
        )
    try:
        socket.create_connection((host, int(port)), _SECONDS).close()
    except OSError as error:
        raise _unreachable(address, error.strerror or str(error)) from None


def _check_cluster(address: str) -> None:
    """Checks in another process, within the time, that a cluster answers, and notes whether it wants a token.

    Raises:
        UsageError: when none does.
    """
    ask = [sys.executable, "-m", "ray.scripts.scripts", "status", "--address", address]
    lines: list[str] = []
    for mode in ({}, _WITH_TOKEN):
        environment = {**os.environ, **_SETTINGS, **mode}
        try:
            answer = subprocess.run(
                ask, capture_output=True, text=True, timeout=_SECONDS, check=False, env=environment
            )
        except subprocess.TimeoutExpired:
            raise _unreachable(address, f"no answer within {_SECONDS:.0f} s") from None
        if answer.returncode == 0:
            os.environ.update(mode)
            return
        lines = answer.stderr.strip().splitlines() or ["an error without a message"]
        if "Authentication" not in lines[-1] or _WITH_TOKEN.keys() & os.environ.keys():
            break
    raise _unreachable(address, lines[-1])


def _join(ray: ModuleType, address: str, **arguments: Any) -> None:
    try:
        ray.init(address=address, **arguments)
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        raise _unreachable(address, str(error)) from None


def _unreachable(address: str, reason: str) -> UsageError:
    reason = " ".join(reason.split()).rstrip(".")
    return UsageError(f"--ray-address {address}: no Ray cluster answers there: {reason}.")


@contextmanager
def _handlers_kept() -> Iterator[None]:
    """Keeps this process's handlers of signals, which Ray replaces."""
    kept = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(signum) for signum in kept]
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for signum, handler in zip(kept, before, strict=True):
                signal.signal(signum, handler)
