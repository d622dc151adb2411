"""What an evaluation relies on in a model: checked on a few images wherever one is loaded."""

from __future__ import annotations

import torch
from torch import Tensor

from benchmark.core.embedder import Embedder
from benchmark.core.errors import BenchmarkError, TrainingError
from benchmark.models.frozen import frozen
from benchmark.models.precision import whole_float32
from benchmark.models.rounding import REPEATED, computes_in_half

CHECKED_IMAGES = 4
"""Images that a model is checked on."""

_TOLERANCE = 1e-3
_TOLERANCE_OF_HALF = 1e-2
"""For lengths and distances of unit vectors; the second for models that compute in 16 bits."""

_PASSES = 8
"""Forward passes after which a model that is declared randomised and never differs is not."""


def check_embedder(model: Embedder, images: Tensor) -> None:
    """Check that a model keeps what is promised of its embeddings, in evaluation mode.

    The images are left as they are. The embeddings are finite unit vectors of a floating-point type, shape
    (n, d); an image has the same embedding alone and in a batch, and in each forward pass, unless the model
    is randomised; `differentiable()` embeds in the same space. The zero vector passes, as scaling to unit
    length leaves it. The model and torch's global generators are left as they were.

    Args:
        model: the model, in any mode.
        images: a few images, two or more, shape (n, C, H, W) in [0, 1], on the model's device.

    Raises:
        BenchmarkError: for the first promise that is broken, with the value found and what to do.
    """
    devices = [images.device] if images.device.type == "cuda" else []
    with torch.random.fork_rng(devices), frozen(model), torch.no_grad(), whole_float32():
        embeddings = _embedded(model, images)
        _check_form(embeddings, len(images))
        _check_finite(embeddings)
        embeddings = embeddings.float()
        tolerance = _tolerance(model)
        _check_lengths(embeddings, tolerance)
        _check_randomness(model, images, embeddings)
        if not model.randomised:
            _check_alone(model, images, embeddings, tolerance)
        stand_in = model.differentiable()
        shape = tuple((embeddings if stand_in is model else _embedded(stand_in, images)).shape)
        if shape != tuple(embeddings.shape):
            raise BenchmarkError(
                f"differentiable() embeds as shape {shape}, the model as {tuple(embeddings.shape)}. Return a "
                "stand-in that embeds in the same space."
            )


def check_unit_vectors(model: Embedder, embeddings: Tensor) -> None:
    """Check that all embeddings of a pool are finite and of unit length; the zero vector passes.

    Args:
        model: the model, whose types decide how much rounding is allowed.
        embeddings: shape (n, d).

    Raises:
        BenchmarkError: when one is not, with the value found and what to do.
    """
    _check_form(embeddings, len(embeddings))
    _check_finite(embeddings)
    _check_lengths(embeddings.float(), _tolerance(model))


def check_form(model: Embedder, images: Tensor) -> None:
    """Check that a model embeds each image as one dense floating-point vector; all else may come by training.

    The images, the model and torch's global generators are left as they were.

    Args:
        model: the model, in any mode.
        images: one image or more, shape (n, C, H, W) in [0, 1], on the model's device.

    Raises:
        BenchmarkError: when it does not, with what it returns.
    """
    devices = [images.device] if images.device.type == "cuda" else []
    with torch.random.fork_rng(devices), frozen(model), torch.no_grad():
        _check_form(_embedded(model, images), len(images))


def check_trainable(model: Embedder, spec: str) -> None:
    """Check that something of a model can be trained.

    Args:
        model: the model, with one parameter or more.
        spec: the defense that built it, for the message.

    Raises:
        TrainingError: when every parameter is frozen.
    """
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise TrainingError(
            f"{spec}: every parameter of the model is frozen, so nothing can be trained. Call "
            "requires_grad_(True) on the part to train; the models in `trained` are frozen."
        )


def check_same(trained: Embedder, loaded: Embedder, images: Tensor) -> None:
    """Check that a model that was loaded from a checkpoint embeds images as the one that was saved.

    A randomised model, whose draws differ, is not compared. The models and torch's global generators are left
    as they were.

    Args:
        trained: the model that was saved, in any mode.
        loaded: the model that was loaded, in any mode.
        images: a few images, shape (n, C, H, W) in [0, 1], on the device of both.

    Raises:
        BenchmarkError: when embeddings differ by more than rounding.
    """
    if trained.randomised or loaded.randomised:
        return
    devices = [images.device] if images.device.type == "cuda" else []
    with torch.random.fork_rng(devices), frozen(trained), frozen(loaded), torch.no_grad(), whole_float32():
        before, after = trained(images), loaded(images)
    half = {before.dtype, after.dtype} & {torch.float16, torch.bfloat16}
    same = before.shape == after.shape
    apart = _distance(before.float(), after.float()) if same else float("inf")
    if apart > (_TOLERANCE_OF_HALF if half else _tolerance(loaded)):
        raise BenchmarkError(
            "The model that is loaded embeds otherwise than the one that was trained: embeddings of one "
            f"image are {apart:.2g} apart. Keep all state in parameters or buffers (self.register_buffer)."
        )


def _embedded(model: Embedder, images: Tensor) -> Tensor:
    given = images.clone()
    embeddings = model(given)
    if not torch.equal(given, images):
        raise BenchmarkError("The model changes its images in place. Begin with images = images.clone().")
    return embeddings


def _tolerance(model: Embedder) -> float:
    """Allow for the rounding of models that compute in 16 bits."""
    return _TOLERANCE_OF_HALF if computes_in_half(model) else _TOLERANCE


def _check_form(embeddings: object, count: int) -> None:
    if not isinstance(embeddings, Tensor):
        raise BenchmarkError(
            f"The model returns {type(embeddings).__name__}, not a tensor. Return embeddings of shape (n, d)."
        )
    if embeddings.layout != torch.strided:
        raise BenchmarkError("The model's embeddings are a sparse tensor. Return a dense one.")
    if embeddings.ndim != 2 or len(embeddings) != count:
        raise BenchmarkError(
            f"The model embeds {count} images as shape {tuple(embeddings.shape)}. Return one vector for each "
            "image, shape (n, d)."
        )
    if not embeddings.is_floating_point():
        raise BenchmarkError(
            f"The model's embeddings are {embeddings.dtype}. Return a floating-point type, as float32."
        )


def _check_finite(embeddings: Tensor) -> None:
    bad = int((~embeddings.isfinite()).any(1).sum())
    if bad:
        value = float(embeddings[~embeddings.isfinite()][0])
        raise BenchmarkError(
            f"{bad} of {len(embeddings)} embeddings are not finite ({value}). Look for a division by zero or "
            "an overflow in the model, and for a training that diverged."
        )


def _check_lengths(embeddings: Tensor, tolerance: float) -> None:
    lengths = embeddings.norm(dim=1)
    wrong = ((lengths - 1).abs() > tolerance) & (lengths > 0)
    if wrong.any():
        low, high = float(lengths.min()), float(lengths.max())
        found = f"length {low:.4g}" if high - low < 1e-4 * high else f"lengths from {low:.4g} to {high:.4g}"
        raise BenchmarkError(
            f"The model's embeddings have {found}, not 1. End its forward with "
            "torch.nn.functional.normalize(embeddings)."
        )


def _check_randomness(model: Embedder, images: Tensor, embeddings: Tensor) -> None:
    passes = _PASSES if model.randomised else 2
    apart = 0.0
    for _ in range(passes - 1):
        apart = max(apart, _distance(model(images).float(), embeddings))
        if apart > REPEATED:
            break
    if apart > REPEATED and not model.randomised:
        raise BenchmarkError(
            f"Two embeddings of one image are {apart:.2g} apart, but the model's `randomised` is False. Set "
            "it to True, or draw nothing in evaluation mode."
        )
    if apart == 0 and model.randomised:
        raise BenchmarkError(
            f"The model's `randomised` is True, but {passes} forward passes gave the same embeddings. Set it "
            "to False, or draw in evaluation mode too."
        )


def _check_alone(model: Embedder, images: Tensor, embeddings: Tensor, tolerance: float) -> None:
    alone = torch.cat([model(image.unsqueeze(0)).float() for image in images])
    if alone.shape != embeddings.shape or (apart := _distance(alone, embeddings)) > tolerance:
        found = f"of shape {tuple(alone.shape)}" if alone.shape != embeddings.shape else f"{apart:.2g} apart"
        raise BenchmarkError(
            f"Images embedded alone and in a batch of {len(images)} get embeddings {found}. Use nothing of "
            "the other images of a batch in evaluation mode, as batch norm with its running statistics."
        )


def _distance(one: Tensor, other: Tensor) -> float:
    """The largest distance between two embeddings of an image."""
    return float((one - other).norm(dim=1).max())
