"""Image files in class folders: how they are found, identified and decoded."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import PIL
from PIL import ExifTags, Image, ImageOps, features

from benchmark.core.errors import BenchmarkError
from benchmark.core.progress_bar import progress_bar
from benchmark.data.cache import fingerprint

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp"})
"""Files with these endings, in any case, are images; other files are ignored."""

FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "GIF")
"""Pillow's names of the formats that are decoded, whatever the suffix; its other readers may run programs.

Six files of Stanford Online Products are GIFs named .JPG.
"""

MAX_ASPECT_RATIO = 50
"""Largest ratio of the longer to the shorter side: a strip would be scaled up to gigabytes."""

HASHED_BYTES = 200 * 2**20
"""Up to this total size, files are identified by their contents, above by their modification times."""

_READERS = 8
"""Threads that read headers; they mostly wait for the disk."""

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""The transposition that undoes each EXIF orientation."""


def plain_name(path: Path) -> str:
    """Return the last part of a path in composed Unicode (NFC), as some file systems decompose names.

    Raises:
        BenchmarkError: when the name on disk is not UTF-8.
    """
    try:
        path.name.encode()
    except UnicodeEncodeError:
        raise BenchmarkError(f"The name of {str(path)!a} is not UTF-8; rename it.") from None
    return unicodedata.normalize("NFC", path.name)


def _entries(folder: Path) -> list[Path]:
    """List what is in a folder and not hidden, in order of name.

    Raises:
        BenchmarkError: when it cannot be read, or a link in it leads nowhere: what is missing may be images.
    """
    try:
        found = [path for path in folder.iterdir() if not path.name.startswith(".")]
    except OSError as error:
        raise BenchmarkError(f"The folder {folder} cannot be read: {error.strerror}.") from None
    for path in found:
        if path.is_symlink() and not path.exists():
            raise BenchmarkError(f"The link {path} leads nowhere (to {path.readlink()}); mend or remove it.")
    return sorted(found, key=plain_name)


def class_folders(root: Path) -> dict[str, Path]:
    """Find the class folders in `root`, by name and in order of name.

    Hidden folders (`.ipynb_checkpoints`) and `__MACOSX` are ignored.

    Raises:
        BenchmarkError: when `root` is missing, not a folder or unreadable, or contains no folder.
    """
    if not root.exists():
        raise BenchmarkError(f"There is no folder {root}.")
    if not root.is_dir():
        raise BenchmarkError(f"{root} is not a folder; unpack it if it is an archive.")
    folders: dict[str, Path] = {}
    for path in _entries(root):
        if path.is_dir() and path.name != "__MACOSX" and folders.setdefault(plain_name(path), path) != path:
            raise BenchmarkError(f"Two folders in {root} have the name '{plain_name(path)}'; rename one.")
    if not folders:
        raise BenchmarkError(f"{root} contains no folders; it needs one for each class, with its images.")
    return folders


def image_files(folder: Path) -> list[Path]:
    """Find the images directly in a folder that are not hidden, in order of name.

    Raises:
        BenchmarkError: when the folder cannot be read, or two names differ only in their Unicode form.
    """
    found = [path for path in _entries(folder) if path.suffix.lower() in SUFFIXES and path.is_file()]
    for before, path in pairwise(found):
        if plain_name(before) == plain_name(path):
            raise BenchmarkError(f"Two images in {folder} have the name '{plain_name(path)}'; rename one.")
    return found


def files_digest(files: Sequence[Path]) -> str:
    """Return a hash of image files: class names, file names and contents.

    Above `HASHED_BYTES` in total, sizes and modification times replace the contents.

    Raises:
        BenchmarkError: when a file cannot be read.
    """
    path = None
    try:
        stats = [(path := file).stat() for file in files]
        by_content = sum(stat.st_size for stat in stats) <= HASHED_BYTES
        parts = [
            [
                plain_name((path := file).parent),
                plain_name(file),
                hashlib.sha256(file.read_bytes()).hexdigest()
                if by_content
                else [stat.st_size, stat.st_mtime_ns],
            ]
            for file, stat in zip(files, stats, strict=True)
        ]
    except OSError as error:
        raise BenchmarkError(f"The image {path} cannot be read: {error.strerror}.") from None
    return fingerprint(parts)


def decoder_versions() -> list[str | None]:
    """Return the versions of Pillow and its decoding libraries, which pixels may depend on."""
    return [PIL.__version__, *(features.version(name) for name in ("jpg", "libjpeg_turbo", "webp"))]


def decode(file: Path, size: int | None, grey: bool) -> npt.NDArray[np.uint8]:
    """Decode one image, upright, with transparency composited over white.

    Args:
        file: a PNG, JPEG, BMP, WebP or GIF file of any mode; the first of several frames is used.
        size: side in pixels that the central square is scaled to, antialiased; None to keep the image as it
            is.
        grey: one channel (luma, ITU-R 601-2) instead of three.

    Returns:
        uint8 in [0, 255], shape (C, H, W).

    Raises:
        BenchmarkError: when the file is missing, damaged or truncated.
    """
    image = _open(file, "L" if grey else "RGB")
    if size is not None:
        image = ImageOps.fit(image, (size, size), Image.Resampling.BICUBIC)
    return np.atleast_3d(np.asarray(image)).transpose(2, 0, 1)


def decode_scaled(file: Path, shorter: int) -> npt.NDArray[np.uint8]:
    """Decode one image as RGB, upright, with transparency composited over white, and scale all of it.

    Args:
        file: a PNG, JPEG, BMP, WebP or GIF file of any mode; the first of several frames is used.
        shorter: length in pixels that its shorter side is scaled to, bicubic and antialiased.

    Returns:
        uint8 in [0, 255], shape (3, h, w), min(h, w) = shorter.

    Raises:
        BenchmarkError: when the file is missing, damaged or truncated, or a strip (see `MAX_ASPECT_RATIO`).
    """
    image = _open(file, "RGB", strips=False)
    factor = shorter / min(image.size)
    width, height = (max(shorter, round(side * factor)) for side in image.size)
    scaled = image.resize((width, height), Image.Resampling.BICUBIC)
    return np.ascontiguousarray(np.asarray(scaled).transpose(2, 0, 1))


def check_headers(files: Sequence[Path], title: str = "") -> None:
    """Check the header of each image, which is fast; files truncated further on are found by decoding.

    Args:
        files: the images.
        title: their name beside the progress bar.

    Raises:
        BenchmarkError: when files are missing, empty, strips or not images; it names the first and how many.
    """
    bar = progress_bar()
    damaged = []
    with ThreadPoolExecutor(_READERS) as pool, bar:
        causes = bar.track(pool.map(_header_damage, files), len(files), description=f"{title}: checking")
        damaged = [(file, cause) for file, cause in zip(files, causes, strict=True) if cause is not None]
    if damaged:
        file, cause = damaged[0]
        reason = "it is missing" if isinstance(cause, FileNotFoundError) else f"{cause}"
        others = f" (and {len(damaged) - 1:,} others)" if len(damaged) > 1 else ""
        raise BenchmarkError(
            f"The image {file}{others} cannot be read: {reason}; unpack the archive again, or replace it."
        )


def _header_damage(file: Path) -> Exception | None:
    try:
        with Image.open(file, formats=FORMATS) as opened:
            _refuse_strip(opened)
            return None
    except Exception as error:  # decoders raise many types on damaged files; all mean the same to the user
        return error


def _refuse_strip(image: Image.Image) -> None:
    if max(image.size) > MAX_ASPECT_RATIO * min(image.size):
        width, height = image.size
        raise ValueError(f"it is a strip of {width} x {height} pixels")


def _open(file: Path, mode: str, strips: bool = True) -> Image.Image:
    """Decode an image completely, upright, in a mode without transparency."""
    try:
        with Image.open(file, formats=FORMATS) as opened:
            if not strips:
                _refuse_strip(opened)
            opened.load()
            return _opaque(_upright(opened), mode)
    except Exception as error:  # decoders raise many types on damaged files; all mean the same to the user
        raise BenchmarkError(
            f"The image {file} cannot be decoded ({error}); replace it or delete it."
        ) from None


def _upright(image: Image.Image) -> Image.Image:
    """Rotate an image by its EXIF orientation; leave it where that is missing or cannot be read."""
    try:
        turn = _UPRIGHT.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # a damaged tag raises many types; the pixels are intact
        turn = None
    return image if turn is None else image.transpose(turn)


def _opaque(image: Image.Image, mode: str) -> Image.Image:
    """Convert an image to a mode without transparency."""
    if image.mode.startswith("I"):  # 16 bits a pixel, which `convert` would clip at 255
        return Image.fromarray((np.asarray(image).astype(np.int64) // 257).astype(np.uint8)).convert(mode)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    # Via RGB: some modes, such as CMYK, cannot be converted to grey directly.
    return image if image.mode == mode else image.convert("RGB").convert(mode)
