"""Runs on a Ray cluster: which device jobs get, how many share a GPU, and what each takes of a node."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

import torch

from benchmark.core.errors import BenchmarkError, UsageError
from benchmark.core.output import warn
from benchmark.data import Folders
from benchmark.jobs import Job, RunContext, TrainJob
from benchmark.jobs.memory import pool_bytes
from benchmark.jobs.models import load_data
from benchmark.planning.worker_count import count_workers
from benchmark.runner.ray_cluster import JobResources, Node, check_installed, connect, load_ray, nodes
from benchmark.runner.ray_pool import RayPool

_PROCESS = 700_000_000
"""Bytes of a worker process before it holds any images."""

_POOLS = 3
"""Pools of images that most attacks hold (see `fits_on_device`)."""

_NO_LIMIT = 10_000
"""Jobs side by side where only the room of the nodes limits their number."""


def choose_device(asked: str, address: str | None, dry: bool) -> str:
    """Chooses the device of the jobs: "cuda" where the cluster has GPUs, unless the CPU is asked for.

    Raises:
        UsageError: when one GPU is asked for by its index, or GPUs of a cluster that has none, or the cluster
            cannot be reached.
    """
    check_installed()
    if asked.startswith("cuda:"):
        raise UsageError(f"--device {asked}: Ray chooses the GPU of each job; use --device cuda.")
    if dry:
        return "cuda" if asked == "cuda" else "cpu"
    connect(address)
    has_gpu = _gpus(nodes()) > 0
    if asked == "cuda" and not has_gpu:
        raise UsageError("--device cuda: no node of the Ray cluster has a GPU; use --device cpu or auto.")
    return "cuda" if has_gpu and asked != "cpu" else "cpu"


def count_jobs(trainings: Sequence[TrainJob], device: str, folders: Folders) -> int:
    """Counts the jobs that the GPUs of the cluster take, as a node finds; a large number on CPUs."""
    if torch.device(device).type == "cpu":
        return _NO_LIMIT
    ray = load_ray()
    count = ray.remote(count_workers).options(num_gpus=1, max_retries=2)
    try:
        per_gpu: int = ray.get(count.remote(list(trainings), device, folders))
    except ray.exceptions.RayError as error:
        line = [line.strip() for line in str(error).splitlines() if line.strip()][-1]
        warn(f"One job a GPU, since how many fit could not be found on a node: {line}")
        per_gpu = 1
    return per_gpu * _gpus(nodes())


def make_pool(
    jobs: Sequence[Job], context: RunContext, workers: int, address: str | None, memory: float | None
) -> RayPool:
    """Connects to the cluster, and makes the pool for some jobs.

    Args:
        jobs: the jobs.
        context: the context of the run.
        workers: number of jobs side by side, at most.
        address: of the head of the cluster; None for the one of this machine, or a new one.
        memory: GB that a job is taken to need; None for an estimate.
    """
    connect(address)
    found = nodes()
    needed = int(memory * 1e9) if memory else estimate_memory(jobs, context.folders)
    return RayPool(resources_of_job(found, context.device, workers, needed), workers, nodes)


def resources_of_job(found: Sequence[Node], device: str, workers: int, memory: int) -> JobResources:
    """Computes what one job takes of a node.

    Args:
        found: the nodes of the cluster.
        device: "cpu", or "cuda" for the GPUs, which share the jobs equally.
        workers: number of jobs side by side, at most.
        memory: bytes; where no node has as many, all of the largest node's are taken.
    """
    memory = min([memory, max((int(node.resources.get("memory", 0.0)) for node in found), default=0)])
    if torch.device(device).type == "cpu":
        return JobResources(memory=memory)
    per_gpu = max(1, ceil(workers / max(1, _gpus(found))))
    with_gpu = [node.resources for node in found if node.resources.get("GPU", 0.0) >= 1]
    threads = [int(one.get("CPU", 0.0) // (int(one["GPU"]) * per_gpu)) for one in with_gpu]
    return JobResources(max(1, min(threads, default=1)), per_gpu, memory)


def estimate_memory(jobs: Sequence[Job], folders: Folders) -> int:
    """Estimates the bytes of memory of the largest job: a process, and the pools of an attack."""
    pools = [0]
    for dataset in {job.key.dataset for job in jobs}:
        try:
            pools.append(pool_bytes(load_data(dataset, folders).test))
        except BenchmarkError:  # noqa: PERF203 (a job that needs it says so)
            continue
    return _PROCESS + _POOLS * max(pools)


def _gpus(found: Sequence[Node]) -> int:
    return sum(int(node.resources.get("GPU", 0.0)) for node in found)
