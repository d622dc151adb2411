"""The number of worker processes that suits a run, where the user does not give it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import nn

from attacks.images import MAX_IMAGES, MAX_PIXELS
from benchmark.core.cpu import cores
from benchmark.core.hardware import devices_of, one_thread
from benchmark.data import Folders
from benchmark.jobs import TrainJob
from benchmark.jobs.memory import memory_of_device
from benchmark.jobs.models import UNUSED, load_data
from benchmark.models import BACKBONES, count_flops, frozen

_LAUNCHING = 50e-6
"""Seconds in which a process starts the kernels of one layer, forwards and backwards, whatever the batch.

`smallconv`, with 14 layers, takes 0.7 ms on an H100 at any batch that is not large (docs/performance.md).
"""

_RATE_OF_MULTIPROCESSOR = 0.22e12
"""FLOPs per second of a GPU's multiprocessor in convolutions in float32, about half of the peak."""

_CUDA_CONTEXT = 600_000_000
"""Bytes that a process takes on a GPU before it computes anything."""

_COPIES = 3
"""Bytes of a batch's activations, their gradients and the workspace, in units of the activations."""

_MEMBERS = 3
"""Members of a model that are trained side by side, as those of an ensemble."""

_USABLE = 0.8
"""Fraction of the free memory that the workers are planned into."""

_MOST = 8
"""Workers of one GPU, at most."""


class Load(NamedTuple):
    """What one batch of a network asks of a GPU and of the process that drives it.

    Attributes:
        flops: of a forward and a backward pass of the batch.
        layers: layers whose kernels are started one after another.
        activations: bytes of the outputs of all layers, of the largest batch.
    """

    flops: float
    layers: int
    activations: int


class Gpu(NamedTuple):
    """A GPU as far as the number of its workers depends on it.

    Attributes:
        multiprocessors: their number.
        free: bytes of its memory that nothing uses yet.
    """

    multiprocessors: int
    free: int


def measure_load(network: nn.Module, image_shape: tuple[int, int, int], trained: int) -> Load:
    """Measures, by one image, what a batch of an attack asks of a GPU, and a training of its memory.

    Args:
        network: the network, on the CPU.
        image_shape: (C, H, W).
        trained: images in a batch of its training.
    """
    _, height, width = image_shape
    attacked = max(1, min(MAX_IMAGES, MAX_PIXELS // (height * width)))
    outputs: list[int] = []

    def note(module: nn.Module, inputs: object, output: object) -> None:
        if isinstance(output, torch.Tensor):
            outputs.append(output.numel() * output.element_size())

    leaves = [module for module in network.modules() if not any(True for _ in module.children())]
    handles = [module.register_forward_hook(note) for module in leaves]
    try:
        with frozen(network), torch.no_grad():
            network(torch.zeros(1, *image_shape))
    finally:
        for handle in handles:
            handle.remove()
    flops = 2.0 * attacked * count_flops(network, image_shape)
    return Load(flops, len(outputs), max(attacked, trained * _MEMBERS) * sum(outputs))


def workers_of_gpu(load: Load, gpu: Gpu, available_cores: int) -> int:
    """Computes how many processes keep a GPU busy.

    While one starts kernels, the others' can compute: with kernels that take much less time than starting
    them, as those of a small network do, several processes share a GPU well; one of ResNet-50 fills it.

    Args:
        load: of a batch of the largest network.
        gpu: the GPU.
        available_cores: cores for the workers of this GPU.

    Returns:
        At least 1, and no more than memory and cores allow.
    """
    computing = load.flops / (gpu.multiprocessors * _RATE_OF_MULTIPROCESSOR)
    launching = load.layers * _LAUNCHING
    wanted = 1 + int(min(launching / max(computing, 1e-9), _MOST))
    fitting = int(_USABLE * gpu.free / (_CUDA_CONTEXT + _COPIES * load.activations))
    return max(1, min(wanted, fitting, available_cores, _MOST))


def count_workers(trainings: Iterable[TrainJob], device: str, folders: Folders) -> int:
    """Counts the workers of a run: one for each core on the CPU; on GPUs as many as keep them busy.

    A run with the user's own models, whose size is not known before they are loaded, gets one for each GPU.

    Args:
        trainings: of the models of the run.
        device: as `resolve_device` returns it.
        folders: where data sets are.
    """
    if torch.device(device).type == "cpu":
        return cores()
    devices = devices_of(device)
    networks = {(job.key.dataset, job.key.backbone): job.recipe.batch_size for job in trainings}
    if not networks or any(backbone == UNUSED for _, backbone in networks):
        return len(devices)
    with one_thread():
        loads = [_load(*network, folders, trained) for network, trained in networks.items()]
    share = max(1, cores() // len(devices))
    gpus = [_read_gpu(name) for name in devices]
    # The same number for each, by the smallest GPU and the network that leaves the least room.
    return len(devices) * min(workers_of_gpu(load, gpu, share) for load in loads for gpu in gpus)


def _load(dataset: str, backbone: str, folders: Folders, trained: int) -> Load:
    shape = load_data(dataset, folders).test.image_shape
    return measure_load(BACKBONES.build(backbone).build_random(shape), shape, trained)


def _read_gpu(device: str) -> Gpu:
    memory = memory_of_device(device)
    processors = torch.cuda.get_device_properties(device).multi_processor_count
    return Gpu(processors, 0 if memory is None else memory.free)
