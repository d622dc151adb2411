"""An own model as an embedder, and what its first batch shows of it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmark.core.embedder import Embedder
from benchmark.core.errors import BenchmarkError, UsageError
from benchmark.models.own.preprocess import Preprocess

SAME_BATCH = 1e-3
"""Largest difference of an image's unit vector in two batches that rounding may make."""

FLOAT32 = 1e-5
"""Largest such difference of a network that computes in float32."""

PATTERNS = 8
"""Patterns whose embeddings a model is known by."""

NEARLY_ONE = 1e-4
"""Embeddings whose cosines all lie within this of 1 hold nearly nothing."""


class OwnEmbedder(Embedder):
    """A network of any origin that takes images in [0, 1] and returns unit vectors.

    Args:
        network: maps prepared images, shape (n, C, H, W), to vectors, shape (n, d).
        prepare: maps images in [0, 1] to what the network takes.
        title: what messages call the model.
        notes: what was done to the network when it was loaded, a clause each.
        gradients: whether gradients may reach the images at all.
        fingerprint: hash of the network's weights and files, as it was loaded.

    Attributes:
        seen: what it returns for patterns that are the same for every data set: the cosines of the first
            to the others, of embeddings less their mean; empty before it was checked, and where it is
            randomised.
        is_rounded: whether an image's embedding depends on its batch by more than float32 rounds.
    """

    def __init__(
        self,
        network: nn.Module,
        prepare: Preprocess,
        title: str,
        notes: tuple[str, ...] = (),
        gradients: bool = True,
        fingerprint: str = "",
    ) -> None:
        super().__init__()
        self.fingerprint = fingerprint
        self.seen: tuple[float, ...] = ()
        self.is_rounded = False
        self._settled: list[str] | None = None
        self.network, self.prepare = network, prepare
        self.title, self.notes, self.gradients = title, list(notes), gradients
        self.randomised = bool(getattr(network, "randomised", False))

    def forward(self, images: Tensor) -> Tensor:
        """Embed images, shape (n, C, H, W) in [0, 1], as unit vectors, shape (n, d)."""
        vectors: Tensor = self.network(self.prepare(images).clone())  # which it may write to
        # What is an embedder already keeps its last bits.
        return vectors if isinstance(self.network, Embedder) else F.normalize(vectors.float())

    def differentiable(self) -> Embedder:
        """Return the model that gradients are taken through: the network's own stand-in where it has one."""
        stand_in = self.network.differentiable() if isinstance(self.network, Embedder) else self.network
        if stand_in is self.network:
            return self
        return OwnEmbedder(stand_in, self.prepare, self.title)

    @property
    def has_stand_in(self) -> bool:
        """Whether the network declares one."""
        return bool(getattr(self.network, "has_stand_in", False))

    def train(self, mode: bool = True) -> OwnEmbedder:
        """Set the mode of all modules but an exported program, which keeps that of its export."""
        try:
            super().train(mode)
        except NotImplementedError:
            self.training = mode
        return self

    def settle(self, images: Tensor) -> list[str]:
        """Check the model on its first images, and find whether it is randomised and has gradients.

        It is checked once: what is found on the CPU holds, and is noted, for every device.

        Raises:
            BenchmarkError: when it cannot be evaluated, in one line.
        """
        if self._settled is None:
            self._settled = _settle(self, images)
        return [*self.prepare.notes(), *self.notes, *self._settled]


def _settle(model: OwnEmbedder, images: Tensor) -> list[str]:
    """Runs the first images through a model, and sets `randomised` and `gradients` to what they show.

    Args:
        model: in evaluation mode; on the images' device.
        images: in [0, 1], shape (n, C, H, W), n at least 2.

    Returns:
        What a reader of the scores must know, a clause each.

    Raises:
        UsageError: when an output is not one finite vector an image, or depends on the rest of the batch.
    """
    notes = []
    vectors = _embed(model, images)
    _check_shape(model, vectors, len(images))
    dtype = vectors.dtype
    if dtype != torch.float32:
        notes.append(f"its embeddings are {str(dtype).removeprefix('torch.')}, and are used as float32")
    if not torch.isfinite(vectors).all():
        raise UsageError(
            f"{model.title} returns values that are not finite for {_broken(vectors)} of {len(images)} "
            "images. Does it expect another range of pixels (mean, std), or more precision?"
        )
    if bool((vectors.float().norm(dim=1) == 0).any()):
        raise UsageError(f"{model.title} returns a vector of zeros, which has no direction.")
    unit = F.normalize(vectors.float())
    again = F.normalize(_embed(model, images).float())
    if not torch.equal(unit, again) and float((unit - again).abs().max()) > 1e-6:
        if not model.randomised:
            notes.append(
                "two forward passes over the same images differ: it is evaluated as randomised, with "
                "gradients averaged over draws and scores over repeats"
            )
        model.randomised = True
    if not model.randomised:
        model.is_rounded = _check_batches(model, images, unit) > FLOAT32
        model.seen = _seen(model, images)
    if float((unit @ unit.t()).min()) > 1 - NEARLY_ONE:
        notes.append(
            f"the embeddings of {len(images)} images are nearly the same, as if it expected another range "
            "of pixels (mean, std)"
        )
    if model.gradients and not _has_gradient(model, images[:2]):
        model.gradients = False
        notes.append("no gradient reaches the images through it, so white-box attacks cannot be run")
    return notes


def _embed(model: OwnEmbedder, images: Tensor) -> Tensor:
    """Returns what the network returns, before it is scaled to unit length."""
    shape = "x".join(map(str, images.shape[1:]))
    try:
        with torch.no_grad():
            output: Tensor = model.network(model.prepare(images).clone())
    except BenchmarkError:
        raise
    except (Exception, SystemExit) as error:  # a user's network may fail in any way
        raise UsageError(
            f"{model.title} cannot embed images of {shape}: {_reason(error)}. Its input is set by size, "
            "resize, crop, channels, mean and std, as in [size=224,channels=3,mean=0.5]."
        ) from None
    return output


def _reason(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    # TorchScript puts its own message last.
    shown = (
        lines[-1] if lines and lines[0].startswith("The following operation failed") else (lines or [""])[0]
    )
    return f"{type(error).__name__}: {shown}".rstrip(" .:")


def _check_shape(model: OwnEmbedder, vectors: object, count: int) -> None:
    if not isinstance(vectors, Tensor):
        raise UsageError(
            f"{model.title} returns one {type(vectors).__name__}, not one tensor of shape (n, d): return the "
            "embeddings alone."
        )
    if vectors.ndim != 2 or len(vectors) != count or not vectors.shape[1]:
        given = "1 image" if count == 1 else f"{count} images"
        raise UsageError(f"{model.title} returns shape {tuple(vectors.shape)} for {given}, not ({count}, d).")
    if not vectors.is_floating_point():
        raise UsageError(f"{model.title} returns {vectors.dtype} values, not floating-point ones.")


def _broken(vectors: Tensor) -> int:
    return int((~torch.isfinite(vectors).all(dim=1)).sum())


def _seen(model: OwnEmbedder, images: Tensor) -> tuple[float, ...]:
    """Embeds patterns of the images' size: not images, which a dry run may not have, nor noise, all alike."""
    coarse = torch.rand(PATTERNS, images.shape[1], 3, 3, generator=torch.Generator().manual_seed(0))
    patterns = F.interpolate(coarse, images.shape[2:], mode="bilinear").to(images)
    unit = F.normalize(_embed(model, patterns).float())
    apart = F.normalize(unit - unit.mean(0))
    return tuple((apart[1:] @ apart[0]).tolist()) if bool(torch.isfinite(unit).all()) else ()


def _check_batches(model: OwnEmbedder, images: Tensor, unit: Tensor) -> float:
    """Returns how far the embeddings of the first and the last image alone are from those in a batch."""
    ends = torch.tensor([0, len(images) - 1])
    found = [_embed(model, image.unsqueeze(0)) for image in images[ends]]
    for vectors in found:
        _check_shape(model, vectors, 1)
    same = all(vectors.shape[1] == unit.shape[1] for vectors in found)
    alone = F.normalize(torch.cat(found).float()) if same else None
    apart = float("inf") if alone is None else float((alone - unit[ends]).abs().max())
    if apart > SAME_BATCH:
        raise UsageError(
            f"{model.title} embeds an image alone otherwise than in a batch (they differ by {apart:.2g}): "
            "does batch norm use the batch, as in training mode?"
        )
    return apart


def _has_gradient(model: Embedder, images: Tensor) -> bool:
    inputs = images.detach().clone().requires_grad_(True)
    try:
        with torch.enable_grad():
            embedded = model.differentiable()(inputs)
            target = torch.linspace(-1.0, 1.0, embedded.numel(), device=embedded.device).view_as(embedded)
            (gradient,) = torch.autograd.grad((embedded * target).sum(), inputs, allow_unused=True)
    except (RuntimeError, TypeError, NotImplementedError):  # detached, quantized, or an operation without one
        return False
    return gradient is not None and bool(torch.isfinite(gradient).all())
