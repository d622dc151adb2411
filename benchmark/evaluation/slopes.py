"""Whether a model's gradients are the slopes of its embeddings, measured by finite differences."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod, sqrt

import torch
import torch.nn.functional as F
from torch import Tensor

from attacks import OBJECTIVES, Problem, Score
from benchmark.core.embedder import Embedder
from benchmark.core.errors import BenchmarkError
from benchmark.core.seeding import noise_per_image, seed_everything, unchanged_generators
from benchmark.evaluation.pool_embeddings import PoolEmbeddings
from benchmark.models.rounding import computes_in_half

IMAGES = 256
"""Images at which slopes are measured, evenly spread over the queries; all where there are fewer."""

DIRECTIONS = 4
"""Random directions in which slopes are measured at each image."""

STEP = 0.05
"""Half of the distance of two compared images, in L_2: 0.0018 of the range in each of 28 x 28 pixels."""

STEP_OF_STAND_IN = 0.06
"""The same in L_inf where gradients are a stand-in's (BPDA): what is rounded has steps as large."""

RADIUS = 0.1
"""Largest distance of an image from the clean one, in L_inf: attacks take gradients at such images too."""

SMALL = 0.1
"""Slopes of an image count less where they are smaller than this fraction of the median over images."""

REPEATED_IMAGES = 8
"""Images of a randomised model that are embedded twice, to see whether it makes the same draws again."""

REPEATED = 1e-4
"""Largest difference between embeddings under the same draws, by rounding."""

_NO_GRADIENT = (BenchmarkError, RuntimeError, TypeError, NotImplementedError)
"""What a model raises that cannot be differentiated: it is detached, quantized, or lacks an operation."""


def measure_slopes(embeddings: PoolEmbeddings) -> dict[str, float]:
    """Compares the slopes that a model's gradient promises with those that its embeddings have.

    The slopes are those of the margin of Recall@1, as an attack on it sees the model: for each image the
    embedding's component along the gradient of the objective `neighbour`. It is smooth where the model is.
    Its gradient is taken as attacks take it, through a stand-in (BPDA) where the model declares one; the
    central differences of the model itself are taken without a graph. Directions are random signs. A
    randomised model makes the same draws each time, from torch's seed. Random generators are left as they
    were.

    Args:
        embeddings: the clean pool.

    Returns:
        "slope_correlation", the correlation of both over images and directions, in [-1, 1]; "slope_ratio",
        the measured slope as a multiple of the promised one; "stand_in", 1 where gradients are a declared
        stand-in's, else 0. All images count alike. Empty for a model that computes in 16 bits, whose rounding
        hides such small differences, for one that cannot be differentiated, for one that declares itself
        randomised and does not make the same draws from the same seed, and for a pool of one class.
    """
    model = embeddings.model
    if computes_in_half(model) or not (embeddings.labels != embeddings.labels[0]).any():
        return {}
    try:
        with unchanged_generators():
            found = list(_slopes(embeddings))
    except torch.OutOfMemoryError:
        raise
    except _NO_GRADIENT:
        return {}
    if any(one is None for one in found):
        return {}
    promised, measured = (torch.cat(side).double() for side in zip(*filter(None, found), strict=True))
    return {**compare_slopes(promised, measured), "stand_in": float(model.has_stand_in)}


def slope_cost(images: int, randomised: bool) -> float:
    """Returns the cost of measuring slopes in a pool, in forward or backward passes of one image."""
    repeated = 2.0 * min(REPEATED_IMAGES, images) if randomised else 0.0
    return repeated + min(IMAGES, images) * (2.0 + 2.0 * DIRECTIONS)


def compare_slopes(promised: Tensor, measured: Tensor) -> dict[str, float]:
    """Returns the correlation and the ratio of slopes, (n, k) each, of n images in k directions.

    The slopes of each image are scaled to the same size, as large gradients of few images would decide
    alone; those that are tiny, and may be rounding, are scaled less. Where all slopes are zero they agree.
    """
    size = (promised.square() + measured.square()).mean(1, keepdim=True).sqrt()
    smallest = max(SMALL * float(size.median()), torch.finfo(size.dtype).tiny)
    promised, measured = promised / size.clamp_min(smallest), measured / size.clamp_min(smallest)
    both, first, second = (
        float((one * other).sum())
        for one, other in ((promised, measured), (promised, promised), (measured, measured))
    )
    if not first + second > 0:
        return {"slope_correlation": 1.0, "slope_ratio": 1.0}
    correlation = both / sqrt(first * second) if first * second > 0 else 0.0
    return {"slope_correlation": correlation, "slope_ratio": both / first if first > 0 else 0.0}


def _slopes(embeddings: PoolEmbeddings) -> Iterator[tuple[Tensor, Tensor] | None]:
    """Yields promised and measured slopes of each batch, (b, DIRECTIONS); None without equal draws."""
    queries, model, labels = embeddings.query_indices, embeddings.model, embeddings.labels
    chosen = queries[torch.linspace(0, len(queries) - 1, min(IMAGES, len(queries))).round().long()]
    clean = embeddings.clean().to(embeddings.device)
    problem = Problem(
        model,
        embeddings.clean_images,
        labels.to(embeddings.device),
        embeddings.ids,
        "linf",
        RADIUS,
        queries=_query_mask(embeddings),
        embedded={model: clean},
    )
    score = OBJECTIVES.build("neighbour").bind(problem)
    radii = RADIUS * torch.linspace(0, 1, len(chosen))
    size = max(1, embeddings.batch_size // 2)
    for index, radius in zip(chosen.split(size), radii.split(size), strict=True):
        images = embeddings.images("clean", index).to(embeddings.device)
        batch = _Batch(model, images, index.to(embeddings.device), embeddings.ids[index], radius.to(images))
        if not index.equal(chosen[:size]) or batch.has_equal_draws():
            yield batch.slopes(score)
        else:
            yield None
            return


def _query_mask(embeddings: PoolEmbeddings) -> Tensor | None:
    if not embeddings.has_query_split:
        return None
    mask = torch.zeros(len(embeddings.labels), dtype=torch.bool)
    mask[embeddings.query_indices] = True
    return mask.to(embeddings.device)


@dataclass
class _Batch:
    """A batch of images at which slopes are measured.

    Attributes:
        model: the model.
        images: clean images in [0, 1], shape (b, C, H, W), on the device.
        index: their indices in the pool, shape (b,), on the device.
        ids: their ids, shape (b,), on the CPU.
        radius: distance of each image from the clean one, in L_inf, shape (b,), on the device.
    """

    model: Embedder
    images: Tensor
    index: Tensor
    ids: Tensor
    radius: Tensor

    def __post_init__(self) -> None:
        shape = self.images.shape[1:]
        self.step = STEP_OF_STAND_IN if self.model.has_stand_in else STEP / sqrt(prod(shape))
        noise = self._noise("start") * self.radius.view(-1, 1, 1, 1)
        self.start = (self.images + noise).clamp(self.step, 1 - self.step)  # all steps stay in [0, 1]

    def has_equal_draws(self) -> bool:
        """Whether a model that declares itself randomised draws the same again from the same seed."""
        if not self.model.randomised:
            return True
        few = self.start[:REPEATED_IMAGES]
        with torch.no_grad():
            return bool((self._embed(few) - self._embed(few)).abs().max() <= REPEATED)

    def slopes(self, score: Score) -> tuple[Tensor, Tensor]:
        """Returns the promised and the measured slopes, shape (b, DIRECTIONS) each, on the CPU."""
        gradient, weights = self._gradient(score)
        promised, measured = [], []
        for number in range(DIRECTIONS):
            direction = self._noise("direction", number).sign()
            moved = direction * self.step
            with torch.no_grad():
                change = self._embed(self.start + moved) - self._embed(self.start - moved)
            measured.append((change * weights).sum(1) / (2 * self.step))
            promised.append((gradient * direction).flatten(1).sum(1))
        return torch.stack(promised, 1).cpu(), torch.stack(measured, 1).cpu()

    def _gradient(self, score: Score) -> tuple[Tensor, Tensor]:
        """Returns the gradient with respect to the images, and the weights of the embedding's components."""
        images = self.start.clone().requires_grad_(True)
        with torch.enable_grad():
            stand_in = self.model.differentiable()
            embedded = self._embed(images, stand_in)
            weights = self._weights(score, embedded if stand_in is self.model else self._embed(self.start))
            if not embedded.requires_grad:
                return torch.zeros_like(images), weights
            (gradient,) = torch.autograd.grad((embedded * weights).sum(), images, allow_unused=True)
        return (torch.zeros_like(images) if gradient is None else gradient), weights

    def _weights(self, score: Score, embedded: Tensor) -> Tensor:
        """Unit vectors along the objective's gradient on the sphere, shape (b, d)."""
        given = embedded.detach().requires_grad_(True)
        (gradient,) = torch.autograd.grad(score(given, self.index).sum(), given)
        point = given.detach()
        return F.normalize(gradient - (gradient * point).sum(1, keepdim=True) * point)

    def _embed(self, images: Tensor, model: Embedder | None = None) -> Tensor:
        """Embeds images, by default with the model itself, under the same draws each time."""
        seed_everything("slopes", *self.ids.tolist())
        embedded: Tensor = (self.model if model is None else model)(images)
        return embedded

    def _noise(self, *parts: object) -> Tensor:
        noise = noise_per_image(self.images.shape[1:], self.ids, "slopes", *parts)
        return noise.to(self.images)
