"""Image files in folders, one folder a class: found, identified and decoded."""

from __future__ import annotations

import hashlib
import sys
import unicodedata
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import PIL
from PIL import ExifTags, Image, ImageOps, features
from rich.console import Console
from rich.progress import Progress

from benchmark.core.errors import BenchmarkError
from benchmark.data.cache import fingerprint

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp"})
"""Files with these endings, in any case, are images; other files are ignored."""

FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "GIF")
"""Pillow's names for what is decoded, whatever the ending says; some of its other readers start programs.

Six files of Stanford Online Products are GIFs that are named .JPG.
"""

LONGEST = 50
"""How many times as long as the shorter side the longer may be: a strip would be scaled up to gigabytes."""

HASHED_BYTES = 200 * 2**20
"""Files of no more bytes in all are identified by their contents, more by their times of modification."""

_READERS = 8
"""Threads that look at headers; they wait for the disk more than they work."""

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What undoes each orientation that a camera may have noted."""


def plain_name(path: Path) -> str:
    """The last part of a path in Unicode's composed form, the same on systems that decompose names.

    Raises:
        BenchmarkError: when the name on disk is not text.
    """
    try:
        path.name.encode()
    except UnicodeEncodeError:
        raise BenchmarkError(f"The name of {str(path)!a} is not UTF-8; rename it.") from None
    return unicodedata.normalize("NFC", path.name)


def _entries(folder: Path) -> list[Path]:
    """What is in a folder and not hidden, in order of name."""
    try:
        found = [path for path in folder.iterdir() if not path.name.startswith(".")]
    except OSError as error:
        raise BenchmarkError(f"The folder {folder} cannot be read: {error.strerror}.") from None
    return sorted(found, key=plain_name)


def class_folders(root: Path) -> dict[str, Path]:
    """The folders in `root` by name, in order of name.

    Hidden ones (`.ipynb_checkpoints`) and `__MACOSX` are ignored.

    Raises:
        BenchmarkError: when `root` is missing, not a folder, unreadable, or has no folder in it.
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
        raise BenchmarkError(f"{root} has no folders in it; it needs one for each class, with its images.")
    return folders


def image_files(folder: Path) -> list[Path]:
    """The images that lie directly in a folder and are not hidden, in order of name.

    Raises:
        BenchmarkError: when the folder cannot be read.
    """
    return [path for path in _entries(folder) if path.suffix.lower() in SUFFIXES and path.is_file()]


def files_digest(files: Sequence[Path]) -> str:
    """A hash of image files: names of class and file, and contents.

    Above `HASHED_BYTES` in all, sizes and times of modification stand for the contents.

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
    """The versions of Pillow and of the libraries that decode for it: a pixel may depend on them."""
    return [PIL.__version__, *(features.version(name) for name in ("jpg", "libjpeg_turbo", "webp"))]


def decode(file: Path, size: int | None, grey: bool) -> npt.NDArray[np.uint8]:
    """Decodes one image, upright, transparency over white.

    Args:
        file: a PNG, JPEG, BMP, WebP or GIF file of any mode; of several frames the first.
        size: side in pixels of the centre square that is cut out and scaled, antialiased; None to keep the
            image as it is.
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
    """Decodes one image, upright, transparency over white, scaled as a whole.

    Args:
        file: a PNG, JPEG, BMP, WebP or GIF file of any mode; of several frames the first.
        shorter: length in pixels that its shorter side is scaled to, bicubic and antialiased.

    Returns:
        uint8 in [0, 255], shape (3, h, w), min(h, w) = shorter.

    Raises:
        BenchmarkError: when the file is missing, damaged or truncated, or a strip (see `LONGEST`).
    """
    image = _open(file, "RGB", strips=False)
    factor = shorter / min(image.size)
    width, height = (max(shorter, round(side * factor)) for side in image.size)
    scaled = image.resize((width, height), Image.Resampling.BICUBIC)
    return np.ascontiguousarray(np.asarray(scaled).transpose(2, 0, 1))


def check_headers(files: Sequence[Path], title: str = "") -> None:
    """Looks at the beginning of each file, which is fast; what is cut off further on is found by decoding.

    Args:
        files: the images.
        title: what to call them beside the progress bar.

    Raises:
        BenchmarkError: when files are missing, empty, strips or no images, naming the first and how many.
    """
    bar = Progress(console=Console(file=sys.stderr), transient=True, disable=not sys.stderr.isatty())
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
            _no_strip(opened)
            return None
    except Exception as error:  # decoders raise many kinds on damaged files; all mean the same to the user
        return error


def _no_strip(image: Image.Image) -> None:
    if max(image.size) > LONGEST * min(image.size):
        width, height = image.size
        raise ValueError(f"it is a strip of {width} x {height} pixels")


def _open(file: Path, mode: str, strips: bool = True) -> Image.Image:
    """An image decoded whole, upright, in a mode without transparency."""
    try:
        with Image.open(file, formats=FORMATS) as opened:
            if not strips:
                _no_strip(opened)
            opened.load()
            return _opaque(_upright(opened), mode)
    except Exception as error:  # decoders raise many kinds on damaged files; all mean the same to the user
        raise BenchmarkError(
            f"The image {file} cannot be decoded ({error}); replace it or delete it."
        ) from None


def _upright(image: Image.Image) -> Image.Image:
    """The image turned as its camera was held; as it is where that is not noted, or not to be read."""
    try:
        turn = _UPRIGHT.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # a damaged tag raises many kinds; the pixels are sound
        turn = None
    return image if turn is None else image.transpose(turn)


def _opaque(image: Image.Image, mode: str) -> Image.Image:
    """The image in a mode without transparency."""
    if image.mode.startswith("I"):  # 16 bits a pixel, which `convert` would clip at 255
        return Image.fromarray((np.asarray(image).astype(np.int64) // 257).astype(np.uint8)).convert(mode)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    # Via RGB: some modes, such as CMYK, have no straight way to grey.
    return image if image.mode == mode else image.convert("RGB").convert(mode)
