"""Objective values and gradients of a batch, averaged over EOT samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NoReturn

import torch
import torch.nn.functional as F
from torch import Tensor

from attacks.objectives.base import PooledScore, Score
from attacks.problem import Problem
from benchmark.core.embedder import Embedder
from benchmark.core.errors import AttackError, ObjectiveError


def score_and_gradient(
    problem: Problem, score: Score, images: Tensor, index: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Computes scores, their gradients and the embeddings, each averaged over EOT samples.

    The gradient is taken through the model's differentiable stand-in (BPDA) if it declares one; scores and
    embeddings are always the model's own. A model that lets no gradient through has a gradient of zero, which
    the checks report. Whether a gradient is finite is not looked at here: see `GradientCheck`.

    This is a step of a search: its passes have the problem's precision. Scores are computed in float32 from
    their embeddings.

    Args:
        problem: the attack's task.
        score: the bound objective.
        images: attacked images, shape (b, C, H, W).
        index: their indices in the pool, shape (b,).

    Returns:
        Scores (b,), gradients (b, C, H, W), mean embeddings (b, d).
    """
    images = images.detach().requires_grad_(True)
    repeated = problem.repeat(images)
    stand_in = problem.embedder.differentiable()
    embeddings = _embed(problem, stand_in, repeated)
    if stand_in is not problem.embedder:
        with torch.no_grad():
            true = _embed(problem, problem.embedder, repeated)
        embeddings = true + (embeddings - embeddings.detach())
    values = _mean(problem, score(embeddings, problem.repeat(index)))
    if not values.requires_grad:
        values = values + 0 * images.sum()
    with problem.backward_precision():
        (gradient,) = torch.autograd.grad(values.sum(), images)
    return values.detach(), gradient, _mean(problem, embeddings.detach())


def _embed(problem: Problem, embedder: Embedder, images: Tensor) -> Tensor:
    """Embeds images in the precision of the search, as unit vectors in float32 or more."""
    with problem.forward_precision():
        embeddings = embedder(images)
    return _unit(embeddings)


def _unit(embeddings: Tensor) -> Tensor:
    """Scales embeddings to length 1, as retrieval does: another length must not change any objective."""
    if embeddings.dtype.itemsize < torch.float32.itemsize:
        embeddings = embeddings.float()
    return F.normalize(embeddings, dim=1)


def _mean(problem: Problem, values: Tensor) -> Tensor:
    """Returns the mean over EOT samples of scores or embeddings, shape (samples * b, ...)."""
    if problem.eot_samples == 1:
        return values
    return values.view(problem.eot_samples, -1, *values.shape[1:]).mean(0)


def raise_not_finite(score: Score, embeddings: Tensor, index: Tensor) -> NoReturn:
    """Raises the error that says why a gradient is not finite.

    Args:
        score: the bound objective.
        embeddings: where the gradient was taken, shape (b, d).
        index: indices of the images in the pool, shape (b,).

    Raises:
        ObjectiveError: when the objective's gradient with respect to the embeddings is not finite.
        AttackError: otherwise, for the model's; a model that stops the attack this way is not robust.
    """
    _check_objective(score, embeddings, index)
    raise AttackError("The model's gradient is not a number; gradient attacks cannot evaluate the model.")


def _check_objective(score: Score, embeddings: Tensor, indices: Tensor) -> None:
    """Raises ObjectiveError when the objective's gradient at finite embeddings is not finite."""
    given = embeddings.detach().requires_grad_(True)
    values = score(given, indices)
    if not (values.requires_grad and torch.isfinite(given).all()):
        return
    (gradient,) = torch.autograd.grad(values.sum(), given, allow_unused=True)
    if gradient is not None and not torch.isfinite(gradient).all():
        raise ObjectiveError(
            "The objective's gradient with respect to the embeddings is not finite. Keep square roots, "
            "logarithms and divisions away from zero, or add a small constant within them."
        )


def evaluate(
    problem: Problem, score: Score | None, images: Tensor, index: Tensor, search: bool = False
) -> tuple[Tensor, Tensor]:
    """Computes scores and embeddings without gradients, averaged over EOT samples.

    Args:
        problem: the attack's task.
        score: the bound objective; without one all scores are 0.
        images: attacked images, shape (b, C, H, W).
        index: their indices in the pool, shape (b,).
        search: whether this is a query of a search, whose forward pass has the problem's precision; else
            it is in float32, as all that an attack returns or chooses its result by.

    Returns:
        Scores (b,), mean embeddings (b, d).
    """
    with torch.no_grad():
        repeated = problem.repeat(images)
        embeddings = (
            _embed(problem, problem.embedder, repeated) if search else _unit(problem.embedder(repeated))
        )
        values = embeddings.new_zeros(len(index))
        if score is not None:
            values = _mean(problem, score(embeddings, problem.repeat(index)))
    return values, _mean(problem, embeddings)


def evaluate_jointly(
    problem: Problem, score: PooledScore, batches: Sequence[Tensor], fetch: Callable[[int], Tensor]
) -> list[Tensor]:
    """Computes the scores of all perturbed images, given the final embeddings of all of them.

    Args:
        problem: the attack's task.
        score: the bound objective; it observes all embeddings.
        batches: indices in the pool of each batch's images.
        fetch: returns a batch's attacked images on the device, by the batch's position.

    Returns:
        Scores (b,) of each batch.
    """
    final = [evaluate(problem, None, fetch(batch), index)[1] for batch, index in enumerate(batches)]
    scores = score_jointly(score, batches, final)
    if problem.embedder.randomised:  # fresh draws: the score of an embedding that was observed is biased
        return [evaluate(problem, score, fetch(batch), index)[0] for batch, index in enumerate(batches)]
    return scores


def score_jointly(score: PooledScore, batches: Sequence[Tensor], final: Sequence[Tensor]) -> list[Tensor]:
    """Computes the scores of all perturbed images from the final embeddings of all of them.

    Args:
        score: the bound objective; it observes all embeddings.
        batches: indices in the pool of each batch's images.
        final: embeddings (b, d) of each batch.

    Returns:
        Scores (b,) of each batch.
    """
    for index, embeddings in zip(batches, final, strict=True):
        score.observe(index, embeddings)
    with torch.no_grad():
        return [score(embeddings, index) for index, embeddings in zip(batches, final, strict=True)]
