"""The training attack: the inner maximization of adversarial training, shared by all defenses."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn

from attacks.geometry import project_
from benchmark.core.errors import unknown_name
from benchmark.models import frozen
from benchmark.models.folded import FoldedBatchNorm
from benchmark.training.captured_attack import CapturedAttacks


class TrainingAttack:
    """PGD in the L_inf ball with a few steps of constant size; a defense receives it as `attack`.

    Args:
        eps: full radius of the ball, in units of the pixel range [0, 1].
        steps: number of steps.
        step: size of a step, in units of the radius.
        batch_statistics: whether batch norm normalizes by the batch during the attack; see `frozen`.
        captured: replays attacks where it can; without it, all are eager. With `batch_statistics`, modules
            keep modes that may change from step to step, so those attacks are eager too.

    Attributes:
        scale: factor on eps in [0, 1], which the training loop raises over the ramp.
    """

    def __init__(
        self,
        eps: float,
        steps: int,
        step: float,
        batch_statistics: bool = False,
        captured: CapturedAttacks | None = None,
    ) -> None:
        self.eps = eps
        self.steps = steps
        self.step = step
        self.batch_statistics = batch_statistics
        self.scale = 1.0
        self._captured = None if batch_statistics else captured
        self._folded: dict[nn.Module, FoldedBatchNorm] = {}

    def __call__(
        self,
        objective: Callable[..., Tensor],
        images: Tensor,
        model: nn.Module,
        *,
        start: str = "uniform",
        given: Sequence[Tensor] | None = None,
    ) -> Tensor:
        """Computes adversarial images, detached; see `defenses.base.InnerMaximiser`.

        Raises:
            UsageError: when `start` is none of "uniform", "gaussian" and "clean".
        """
        eps = self.eps * self.scale
        # Drawn on the images' device: for photographs, drawing on the CPU takes as long as a GPU's whole
        # step.
        if start == "gaussian":
            noise = torch.randn(images.shape, device=images.device).mul_(0.001)
        elif start == "uniform":
            noise = torch.rand(images.shape, device=images.device).mul_(2).sub_(1).mul_(eps)
        elif start == "clean":
            noise = torch.zeros_like(images)
        else:
            raise unknown_name("start", start, ("uniform", "gaussian", "clean"))
        begun = project_(images + noise, images, "linf", eps)
        sizes = eps, self.step * eps
        ascend = partial(self._ascend, objective, model)
        if self._captured is not None and given is not None and eps > 0:
            found = self._captured.replay(ascend, objective, model, begun, images, sizes, given)
            if found is not None:
                return found
        return ascend(begun, images, *sizes, *(given or ()))

    def _ascend(
        self,
        objective: Callable[..., Tensor],
        model: nn.Module,
        begun: Tensor,
        images: Tensor,
        radius: float | Tensor,
        size: float | Tensor,
        *given: Tensor,
    ) -> Tensor:
        """Takes all steps from where the attack begins; this is what a graph repeats."""
        adversarial = begun
        with self._evaluated(model):
            for _ in range(self.steps):
                adversarial.requires_grad_(True)
                (gradient,) = torch.autograd.grad(objective(adversarial, *given).sum(), adversarial)
                # In place: a new tensor for each operation would take longer than the operation.
                direction, adversarial = gradient.sign_(), adversarial.detach()
                if isinstance(size, Tensor):
                    ascended = direction.mul_(size).add_(adversarial)
                else:
                    ascended = torch.add(adversarial, direction, alpha=size)
                adversarial = project_(ascended, images, "linf", radius)
        return adversarial.detach()

    @contextmanager
    def _evaluated(self, model: nn.Module) -> Iterator[None]:
        """Freezes the model within the block, and folds its batch norm, which then is a constant scaling."""
        with frozen(model, self.batch_statistics):
            if self.batch_statistics:
                yield
                return
            if model not in self._folded:
                self._folded[model] = FoldedBatchNorm(model)
            with self._folded[model].block():
                yield
