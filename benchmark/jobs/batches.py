"""The number of images in one forward pass of an attack: by a GPU's memory, and halved where it runs out."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable
from typing import TypeVar

import torch
from torch import Tensor

from attacks import images_per_pass
from benchmark.core.embedder import Embedder
from benchmark.core.errors import BenchmarkError
from benchmark.jobs.memory import Memory, memory_of_device

MOST = 1024
"""Images in one forward pass on a GPU, at most; more are no faster."""

PROBED = 16
"""Images of the pass that memory is measured on."""

USABLE = 0.9
"""Fraction of a worker's memory that is planned for."""

_COPIES = 16
"""Float32 copies of an attacked image, and rows of its similarities to the pool, beside the pass itself."""

_T = TypeVar("_T")


def first_batch_size(
    shape: tuple[int, ...],
    embedders: Iterable[Embedder],
    few: Tensor,
    device: str,
    workers: int,
    to_come: int,
) -> int:
    """Returns the number of images in one forward pass with a graph; a power of two on a GPU.

    On a CPU it depends on the image shape only, so that scores are the same on all machines. On a GPU it is
    what fits into the worker's part of the memory, measured on a forward and a backward pass.

    Args:
        shape: of the pool, (n, C, H, W).
        embedders: the models whose passes must fit; they are on the device.
        few: a few images on the device, shape (k, C, H, W) in [0, 1].
        device: "cpu" or a GPU.
        workers: how many share its memory.
        to_come: bytes of whole pools that will be put on the device too.
    """
    memory = memory_of_device(device)
    if memory is None:
        return images_per_pass(shape[1:])
    probe = few.repeat(PROBED // len(few) + 1, 1, 1, 1)[:PROBED]
    try:
        passes = max(bytes_per_image(embedder, probe) for embedder in embedders)
    except torch.OutOfMemoryError:
        return PROBED // 2
    attack = 4 * _COPIES * (few[0].numel() + shape[0])
    usable = int(USABLE * part_of_worker(memory, device, workers)) - to_come
    return images_that_fit(passes + attack, usable)


def part_of_worker(memory: Memory, device: str, workers: int) -> int:
    """The bytes that a worker may still take: what is left of its equal part, but no more than is free."""
    return min(memory.free, memory.total // workers - torch.cuda.memory_allocated(device))


def images_that_fit(bytes_each: int, usable: int) -> int:
    """Returns the largest power of two of images that fit, at least 1 and at most `MOST`."""
    fitting = min(MOST, max(1, usable // max(1, bytes_each)))
    return 1 << (fitting.bit_length() - 1)


def bytes_per_image(model: Embedder, images: Tensor) -> int:
    """Measures the memory of a forward and a backward pass for each image, in bytes, on a GPU.

    Args:
        model: in evaluation mode, its parameters frozen; its random generators move on.
        images: the batch of the pass, on the GPU, shape (b, C, H, W).
    """
    device = images.device
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    pixels = images.detach().requires_grad_(True)
    embeddings = model.differentiable()(pixels)
    if embeddings.requires_grad:
        torch.autograd.grad(embeddings.sum(), pixels)
    return -(-(torch.cuda.max_memory_allocated(device) - before) // len(images))


def run_in_batches(batch_size: int, run: Callable[[int], _T]) -> tuple[_T, int, list[str]]:
    """Runs something in batches; where memory runs out, it starts again with half as many images.

    Args:
        batch_size: images in one forward pass, at first.
        run: gets the batch size; called again from the start.

    Returns:
        The result, the batch size that it was made with, and a sentence for each time that memory ran out.

    Raises:
        BenchmarkError: when memory runs out at a single image.
    """
    notes: list[str] = []
    while True:
        try:
            return run(batch_size), batch_size, notes
        except torch.OutOfMemoryError:
            if batch_size == 1:
                raise BenchmarkError(
                    "The device's memory ran out with a single image in a forward pass. Use smaller images, "
                    "a smaller network, fewer workers, or a GPU with more memory."
                ) from None
        # After the handler, whose exception holds the tensors of its frames.
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        notes.append(
            f"The device's memory ran out with {batch_size} images in a forward pass, so the attack was "
            f"started again with {batch_size // 2}."
        )
        batch_size //= 2
