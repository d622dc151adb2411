"""Resizing and normalization before an own model's network: part of it, so that attacks change pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import AfterValidator
from torch import Tensor, nn

from benchmark.core.spec import split_outside_brackets

NAMED = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "clip": ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
    "inception": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
}
"""Means and standard deviations that libraries use, by name."""

_LUMINANCE = (0.299, 0.587, 0.114)


def _channels(text: str) -> str:
    if text in NAMED:
        return text
    inner = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    try:
        values = [float(part) for part in split_outside_brackets(inner, ",")]
    except ValueError:
        values = []
    if len(values) not in (1, 3) or not all(abs(value) < float("inf") for value in values):
        raise ValueError(f"must be one number, three as in [0.485,0.456,0.406], or one of {', '.join(NAMED)}")
    return f"{values[0]:.9g}" if len(values) == 1 else f"[{','.join(f'{value:.9g}' for value in values)}]"


Channels = Annotated[str, AfterValidator(_channels)]
"""One number, or one for each of three channels, in units of the range [0, 1]; or a library's by name."""


def channel_values(text: str, which: int) -> tuple[float, ...]:
    """Parses a value of type `Channels`.

    Args:
        text: as validated.
        which: 0 for the mean of a library, 1 for its standard deviation.
    """
    if text in NAMED:
        return NAMED[text][which]
    return tuple(float(part) for part in text.strip("[]").split(","))


class Preprocess(nn.Module):
    """Resizes, crops and normalizes images, differentiably.

    Args:
        size: side that images of another size are scaled to at last; None leaves them.
        resize: length that the shorter side is scaled to first; None leaves it.
        crop: side of the central square that is cut out after that; None cuts nothing.
        channels: 1 or 3: images with the other number are converted; None leaves them.
        mean, std: of one or three channels, in units of the range [0, 1].
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        size: int | None,
        resize: int | None,
        crop: int | None,
        channels: int | None,
        mean: Sequence[float],
        std: Sequence[float],
    ) -> None:
        super().__init__()
        self.size, self.resize, self.crop, self.channels = size, resize, crop, channels
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1), persistent=False)
        self._plain = not any(mean) and all(value == 1 for value in std)

    def forward(self, images: Tensor) -> Tensor:
        """Prepare images, shape (n, C, H, W) in [0, 1]."""
        height, width = images.shape[2:]
        if self.resize is not None and min(height, width) != self.resize:
            factor = self.resize / min(height, width)
            images = _scaled(images, round(height * factor), round(width * factor))
        if self.crop is not None:
            images = self._cropped(images)
        if self.size is not None and images.shape[2:] != (self.size, self.size):
            images = _scaled(images, self.size, self.size)
        if self.channels == 3 and images.shape[1] == 1:
            images = images.expand(-1, 3, -1, -1)
        if self.channels == 1 and images.shape[1] == 3:
            weights = images.new_tensor(_LUMINANCE).view(1, 3, 1, 1)
            images = (images * weights).sum(1, keepdim=True)
        return images if self._plain else (images - self.mean) / self.std

    def notes(self) -> list[str]:
        """Say what is done to images, a clause each; empty where nothing is."""
        done = [] if self.resize is None else [f"their shorter side is scaled to {self.resize}"]
        done += [] if self.crop is None else [f"the central {self.crop} x {self.crop} are cut out"]
        done += [] if self.size is None else [f"they are scaled to {self.size} x {self.size}"]
        if not self._plain:
            mean, std = (
                ", ".join(f"{value:.4g}" for value in values.flatten().tolist())
                for values in (self.mean, self.std)
            )
            done.append(f"they are normalized by mean {mean} and standard deviation {std}")
        return [f"before its network, images change: {', '.join(done)}"] if done else []

    def _cropped(self, images: Tensor) -> Tensor:
        side = self.crop or 0
        height, width = images.shape[2:]
        if min(height, width) < side:
            raise ValueError(f"crop={side} is larger than the images of {height} x {width}; give resize too")
        top, left = (height - side) // 2, (width - side) // 2
        return images[:, :, top : top + side, left : left + side]


def _scaled(images: Tensor, height: int, width: int) -> Tensor:
    return F.interpolate(images, (height, width), mode="bilinear", antialias=True, align_corners=False)
