"""Photographs of any size, decoded and scaled once into one memory-mapped file."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from benchmark.core.cpu import cores
from benchmark.core.errors import BenchmarkError
from benchmark.core.files import replacing
from benchmark.core.output import warn
from benchmark.core.progress_bar import progress_bar
from benchmark.core.unfinished import remove_unfinished
from benchmark.data import image_files

_BLOCKS, _BLOCK = 256, 4096
"""How many blocks of the pixels are compared when they are opened, and their bytes."""


class PackedImages:
    """Images of any size of which indexing returns the central squares.

    Can be indexed like a uint8 tensor of shape (n, 3, side, side); only the images indexed are read.

    Args:
        pixels: all images one after the other, each (3, h, w), uint8, flat.
        offsets: index in `pixels` at which each image begins, int64, shape (n,).
        sizes: height and width of each image, int64, shape (n, 2), none below `side`.
        side: side of the central square in pixels.
    """

    dtype = torch.uint8

    def __init__(self, pixels: Tensor, offsets: Tensor, sizes: Tensor, side: int) -> None:
        self._pixels = pixels
        self._offsets = offsets
        self._sizes = sizes
        self._side = side

    def __len__(self) -> int:
        return len(self._offsets)

    @property
    def shape(self) -> torch.Size:
        """(n, 3, side, side)."""
        return torch.Size((len(self), 3, self._side, self._side))

    @property
    def nbytes(self) -> int:
        """The bytes of the images as they are stored, without the others of their file."""
        return int(3 * self._sizes.prod(1).sum())

    def size(self, row: int) -> tuple[int, int]:
        """Return height and width of one image as it is stored."""
        height, width = self._sizes[row].tolist()
        return height, width

    def to(self, device: torch.device | str) -> PackedImages:
        """Copy the images to a device, without the others of their file."""
        lengths = 3 * self._sizes.prod(1)
        offsets = lengths.cumsum(0) - lengths
        pixels = torch.empty(int(lengths.sum()), dtype=torch.uint8, device=device)
        for old, new, length in zip(self._offsets.tolist(), offsets.tolist(), lengths.tolist(), strict=True):
            pixels[new : new + length] = self._pixels[old : old + length].to(device)
        return PackedImages(pixels, offsets, self._sizes, self._side)

    def whole(self, row: int) -> Tensor:
        """Return one image as it is stored, uint8, shape (3, h, w); a view that must not be written to."""
        height, width = self.size(row)
        start = int(self._offsets[row])
        return self._pixels[start : start + 3 * height * width].view(3, height, width)

    def __getitem__(self, indices: Tensor | slice) -> Tensor:
        """Return the central squares of some images, uint8, shape (b, 3, side, side)."""
        rows = torch.arange(len(self))[indices].tolist()
        squares = torch.empty((len(rows), *self.shape[1:]), dtype=torch.uint8, device=self._pixels.device)
        for position, row in enumerate(rows):
            image = self.whole(row)
            top, left = ((extent - self._side) // 2 for extent in image.shape[1:])
            squares[position] = image[:, top : top + self._side, left : left + self._side]
        return squares

    def select(self, rows: Tensor) -> PackedImages:
        """Select images by a mask or by indices, without copying pixels."""
        return PackedImages(self._pixels, self._offsets[rows], self._sizes[rows], self._side)

    def joined(self, other: PackedImages) -> PackedImages:
        """Append other images of the same file, without copying pixels."""
        if other._pixels is not self._pixels or other._side != self._side:
            raise BenchmarkError("Packed images of two files cannot be one pool.")
        offsets, sizes = (
            torch.cat(pair) for pair in ((self._offsets, other._offsets), (self._sizes, other._sizes))
        )
        return PackedImages(self._pixels, offsets, sizes, self._side)


def select(images: Tensor | PackedImages, rows: Tensor) -> Tensor | PackedImages:
    """Select images by a mask or by indices."""
    if isinstance(images, PackedImages):
        return images.select(rows)
    if images.stride(0) == 0:  # one black image expanded to many: indexing would allocate them all
        return images[:1].expand(len(rows.nonzero() if rows.dtype == torch.bool else rows), *images.shape[1:])
    return images[rows]


def joined(first: Tensor | PackedImages, second: Tensor | PackedImages) -> Tensor | PackedImages:
    """Append images to others of the same kind."""
    if isinstance(first, PackedImages) and isinstance(second, PackedImages):
        return first.joined(second)
    assert isinstance(first, Tensor) and isinstance(second, Tensor)
    shared = first.stride(0) == second.stride(0) == 0  # each is one image expanded to many
    if shared and torch.equal(first[:1], second[:1]):
        return first[:1].expand(len(first) + len(second), *first.shape[1:])
    return torch.cat([first, second])


def packed(path: Path, files: Sequence[Path], scaled: int, side: int, title: str) -> PackedImages:
    """Decode photographs into a file, or open the file when they were decoded before.

    The path must identify everything that the pixels depend on. The file appears complete or not at all, so
    several processes may call this at once.

    Args:
        path: path without a suffix of the two files: the pixels, and the sizes of the images.
        files: the photographs, in any format and mode; they become RGB, transparency over white.
        scaled: length in pixels of each image's shorter side as it is stored (bicubic, antialiased).
        side: side of the central square in pixels, at most `scaled`.
        title: name beside the progress bar.

    Raises:
        BenchmarkError: when an image is missing or damaged, or the cache cannot be written.
    """
    opened = open_packed(path, len(files), side)
    if opened is not None:
        return opened
    pixels, index = _files(path)
    try:
        _write(pixels, index, files, scaled, title)
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        raise BenchmarkError(f"Cannot write the cache file {pixels}: {reason}.") from None
    opened = open_packed(path, len(files), side)
    if opened is None:
        raise BenchmarkError(f"The cache file {pixels} cannot be read back; check the disk.")
    return opened


def open_packed(path: Path, count: int, side: int) -> PackedImages | None:
    """Open the files that `packed` wrote; return None when they are missing, truncated or damaged.

    Of the pixels, which are up to tens of gigabytes, blocks all over the file are compared with a hash.

    The pixels are mapped read-only: a private writable mapping would count as memory, of which a large data
    set needs more than the machine has. Writing to them ends the process.

    Args:
        path: as for `packed`.
        count: the required number of images.
        side: side of the central square in pixels.

    Raises:
        BenchmarkError: when the files are complete, but cannot be mapped.
    """
    pixels, index = _files(path)
    try:
        with safe_open(index, framework="pt") as file:
            sizes, digest = file.get_tensor("sizes"), (file.metadata() or {}).get("blocks")
        lengths = 3 * sizes.prod(1)
        total = int(lengths.sum())
        if len(sizes) != count or total == 0 or pixels.stat().st_size != total:
            return None
        if digest not in (None, _digest_of_blocks(pixels)):  # older files have none
            return None
    except (OSError, SafetensorError):
        return None
    try:
        mapped = np.memmap(pixels, np.uint8, "r")
    except OSError as error:  # decoding again would not help
        raise BenchmarkError(
            f"The cache file {pixels} cannot be mapped: {error.strerror or error}."
        ) from None
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        flat = torch.from_numpy(mapped)
    return PackedImages(flat, lengths.cumsum(0) - lengths, sizes, side)


def _files(path: Path) -> tuple[Path, Path]:
    return path.with_suffix(".pixels"), path.with_suffix(".safetensors")


def _digest_of_blocks(path: Path) -> str:
    """Hash blocks at equal distances in a file, the first and the last among them."""
    last, found = max(0, path.stat().st_size - _BLOCK), sha256()
    with path.open("rb") as file:
        for number in range(_BLOCKS):
            file.seek(last * number // (_BLOCKS - 1))
            found.update(file.read(_BLOCK))
    return found.hexdigest()


def _write(pixels: Path, index: Path, files: Sequence[Path], scaled: int, title: str) -> None:
    remove_unfinished(pixels.parent)
    sizes = []
    bar = progress_bar()
    if bar.disable:
        warn(f"{title}: decoding {len(files):,} photographs into {pixels}, once ...")
    # The index is put in place last: it marks the files as complete.
    with replacing(index) as new_index, replacing(pixels) as new_pixels:
        with new_pixels.open("wb") as file, bar:
            task = bar.add_task(f"{title}: decoding", total=len(files))
            for image in _decoded(files, scaled):
                file.write(image.tobytes())
                sizes.append(image.shape[1:])
                bar.advance(task)
        save_file({"sizes": torch.tensor(sizes)}, new_index, {"blocks": _digest_of_blocks(new_pixels)})


def _decoded(files: Sequence[Path], scaled: int) -> Iterator[npt.NDArray[np.uint8]]:
    """Yield the decoded images in order; threads decode only a few images ahead."""
    threads = cores()
    waiting: deque[Future[npt.NDArray[np.uint8]]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for file in files:
                waiting.append(pool.submit(image_files.decode_scaled, file, scaled))
                if len(waiting) > 4 * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
