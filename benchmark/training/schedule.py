"""The optimiser of a training, and the way of its learning rates."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR, StepLR

from benchmark.losses import Criterion
from benchmark.models import BackboneEmbedder
from benchmark.training.recipe import Recipe


def _one_cycle(optimiser: torch.optim.Optimizer, recipe: Recipe, epochs: int, per_epoch: int) -> LRScheduler:
    highest = [group["lr"] for group in optimiser.param_groups]
    return OneCycleLR(optimiser, highest, total_steps=max(2, epochs * per_epoch))


def _step(optimiser: torch.optim.Optimizer, recipe: Recipe, epochs: int, per_epoch: int) -> LRScheduler:
    # Stretched with the training, as the cycle is, or a long one would go on at a rate of nothing.
    every = recipe.decay_every * epochs / recipe.epochs
    return StepLR(optimiser, max(1, round(every * per_epoch)), recipe.decay)


def _constant(optimiser: torch.optim.Optimizer, recipe: Recipe, epochs: int, per_epoch: int) -> LRScheduler:
    return LambdaLR(optimiser, lambda step: 1.0)


Schedule = Callable[[torch.optim.Optimizer, Recipe, int, int], LRScheduler]
SCHEDULES: Mapping[str, Schedule] = {"one_cycle": _one_cycle, "step": _step, "constant": _constant}
"""By the names that a recipe has for them; each counts in batches."""


def make_optimiser(
    model: nn.Module, recipe: Recipe, epochs: int, per_epoch: int
) -> tuple[torch.optim.Optimizer, LRScheduler]:
    """AdamW over all that learns, the losses' own parameters at a rate of their own, and its schedule.

    Args:
        model: what is trained; parameters that take no gradient are left alone.
        recipe: rates, decay, schedule.
        epochs: of the whole training.
        per_epoch: batches in an epoch.
    """
    proxies = [p for module in model.modules() if isinstance(module, Criterion) for p in module.parameters()]
    known = set(map(id, proxies))
    weights = [p for p in model.parameters() if id(p) not in known and p.requires_grad]
    rates = [recipe.lr, recipe.lr * recipe.proxy_lr_scale]
    groups = [{"params": ps, "lr": rate} for ps, rate in zip((weights, proxies), rates, strict=True) if ps]
    optimiser = torch.optim.AdamW(groups, weight_decay=recipe.weight_decay)
    return optimiser, SCHEDULES[recipe.schedule](optimiser, recipe, epochs, per_epoch)


class WarmUp:
    """Keeps all but the new parts of a model, its last layers and its losses, from learning for a while.

    Args:
        model: what is trained.
        epochs: how long.
    """

    def __init__(self, model: nn.Module, epochs: int) -> None:
        new = {
            id(parameter)
            for module in model.modules()
            for parameter in (
                module.parameters()
                if isinstance(module, Criterion)
                else module.head_parameters()
                if isinstance(module, BackboneEmbedder)
                else ()
            )
        }
        self._held = [p for p in model.parameters() if id(p) not in new and p.requires_grad] if epochs else []
        self._epochs = epochs
        for parameter in self._held:
            parameter.requires_grad_(False)

    def before(self, epoch: int) -> None:
        """Lets everything learn again once the time is over; to be called before each epoch, from 0."""
        if self._held and epoch >= self._epochs:
            for parameter in self._held:
                parameter.requires_grad_(True)
            self._held = []
