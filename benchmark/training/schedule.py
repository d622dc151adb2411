"""The optimizer of a training and its learning-rate schedule."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR, StepLR

from benchmark.losses import Criterion
from benchmark.models import BackboneEmbedder
from benchmark.training.recipe import Recipe


def _one_cycle(optimizer: torch.optim.Optimizer, recipe: Recipe, epochs: int, per_epoch: int) -> LRScheduler:
    highest = [group["lr"] for group in optimizer.param_groups]
    return OneCycleLR(optimizer, highest, total_steps=max(2, epochs * per_epoch))


class _StepDecay(StepLR):
    """StepLR in closed form, which may be set to any step; its rates are the same bit for bit."""

    def get_lr(self) -> list[float | Tensor]:
        """Multiplies the initial rates by the decay, once for each decay so far."""
        rates = list(self.base_lrs)
        for _ in range(int(self.last_epoch // self.step_size)):
            rates = [rate * self.gamma for rate in rates]
        return rates


def _step(optimizer: torch.optim.Optimizer, recipe: Recipe, epochs: int, per_epoch: int) -> LRScheduler:
    # Stretched with the training, as the cycle is; otherwise a long training would end at a rate near zero.
    every = recipe.decay_every * epochs / recipe.epochs
    return _StepDecay(optimizer, max(1, round(every * per_epoch)), recipe.decay)


def _constant(optimizer: torch.optim.Optimizer, recipe: Recipe, epochs: int, per_epoch: int) -> LRScheduler:
    return LambdaLR(optimizer, lambda step: 1.0)


Schedule = Callable[[torch.optim.Optimizer, Recipe, int, int], LRScheduler]
SCHEDULES: Mapping[str, Schedule] = {"one_cycle": _one_cycle, "step": _step, "constant": _constant}
"""Learning-rate schedules by the recipe's names for them; each takes one step a batch, and computes the rates
from its `last_epoch` alone, which may be set."""


_FUSED_DEVICES = ("cpu", "cuda")
_FUSED_TYPES = (torch.float32, torch.float64, torch.bfloat16)


def make_optimizer(
    model: nn.Module, recipe: Recipe, epochs: int, per_epoch: int
) -> tuple[torch.optim.Optimizer, LRScheduler]:
    """Builds AdamW and its schedule, with a separate learning rate for the losses' own parameters.

    Args:
        model: the model to train; parameters that take no gradient are left out.
        recipe: learning rates, weight decay, schedule.
        epochs: epochs of the whole training.
        per_epoch: batches in an epoch.
    """
    proxies = [p for module in model.modules() if isinstance(module, Criterion) for p in module.parameters()]
    known = set(map(id, proxies))
    weights = [p for p in model.parameters() if id(p) not in known and p.requires_grad]
    rates = [recipe.lr, recipe.lr * recipe.proxy_lr_scale]
    groups = [{"params": ps, "lr": rate} for ps, rate in zip((weights, proxies), rates, strict=True) if ps]
    optimizer = torch.optim.AdamW(groups, weight_decay=recipe.weight_decay, fused=_can_fuse(model))
    return optimizer, SCHEDULES[recipe.schedule](optimizer, recipe, epochs, per_epoch)


def _can_fuse(model: nn.Module) -> bool:
    """Whether torch has AdamW as one kernel for each of the model's parameters."""
    return all(p.device.type in _FUSED_DEVICES and p.dtype in _FUSED_TYPES for p in model.parameters())


class WarmUp:
    """Freezes all of a model but its last layers and its losses for the first epochs.

    Args:
        model: the model to train.
        epochs: number of warm-up epochs; 0 freezes nothing.
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
        self._epochs = epochs
        self._frozen = (
            [p for p in model.parameters() if id(p) not in new and p.requires_grad] if epochs else []
        )
        for parameter in self._frozen:
            parameter.requires_grad_(False)

    def start_epoch(self, epoch: int) -> None:
        """Unfreezes the parameters when the warm-up is over; to be called before each epoch, from 0."""
        if self._frozen and epoch >= self._epochs:
            for parameter in self._frozen:
                parameter.requires_grad_(True)
            self._frozen = []
