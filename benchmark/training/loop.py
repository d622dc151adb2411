"""The training loop."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import nn

from benchmark.core.embedder import Embedder
from benchmark.core.errors import TrainingError
from benchmark.data.base import ImageSet
from benchmark.losses import Criterion
from benchmark.models import PassCounter
from benchmark.training.augment import random_shift
from benchmark.training.inner import TrainingAttack
from benchmark.training.recipe import Recipe
from defenses import Batch, Defense


@dataclass
class Trained:
    """What a training took.

    Attributes:
        seconds: wall-clock time.
        cost: passes in units.
        relative_cost: the same as a multiple of vanilla's under the same recipe.
        embed_cost: units that embedding one image takes.
        curve: mean training loss of each epoch.
    """

    seconds: float = 0.0
    cost: float = 0.0
    relative_cost: float = 0.0
    embed_cost: float = 0.0
    curve: list[float] = field(default_factory=list)


def _optimiser(
    model: nn.Module, recipe: Recipe, steps: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    proxies = [p for module in model.modules() if isinstance(module, Criterion) for p in module.parameters()]
    known = set(map(id, proxies))
    weights = [p for p in model.parameters() if id(p) not in known]
    rates = [recipe.lr, recipe.lr * recipe.proxy_lr_scale]
    groups = [{"params": ps, "lr": rate} for ps, rate in zip((weights, proxies), rates, strict=True) if ps]
    optimiser = torch.optim.AdamW(groups, weight_decay=recipe.weight_decay)
    highest = [rate for ps, rate in zip((weights, proxies), rates, strict=True) if ps]
    return optimiser, torch.optim.lr_scheduler.OneCycleLR(optimiser, highest, total_steps=max(2, steps))


def train(
    defense: Defense,
    model: Embedder,
    data: ImageSet,
    recipe: Recipe,
    eps: float,
    unit_flops: int,
    device: torch.device | str = "cpu",
    on_epoch: Callable[[int, int], None] | None = None,
) -> Trained:
    """Trains a model in place.

    Args:
        defense: says what a step minimises.
        model: what `defense.build` returned.
        data: the training images.
        recipe: optimiser, schedule, augmentation, training attack.
        eps: radius of the training attack's ball.
        unit_flops: FLOPs of a forward pass of the plain backbone, for the cost.
        device: where to train.
        on_epoch: called after each epoch with the number done and the number of all.

    Raises:
        TrainingError: when the loss is not a number, naming the epoch.
    """
    started = time.perf_counter()
    model.to(device)
    counter = PassCounter(model, data.image_shape, unit_flops)
    trained = Trained(embed_cost=counter.per_image)
    if not any(True for _ in model.parameters()):
        model.eval()
        return trained
    epochs = max(1, round(recipe.epochs * defense.epochs_scale))
    per_epoch = max(1, len(data) // recipe.batch_size)
    size = min(recipe.batch_size, len(data))
    optimiser, schedule = _optimiser(model, recipe, epochs * per_epoch)
    attack = TrainingAttack(eps, recipe.inner_steps, recipe.inner_step)
    labels = data.labels.to(device)
    with counter:
        for epoch in range(epochs):
            model.train()
            order = torch.randperm(len(data))
            total = torch.zeros((), device=device)
            for step in range(per_epoch):
                index = order[step * size : (step + 1) * size]
                images = random_shift(data.batch(index, device), recipe.shift)
                progress = (epoch * per_epoch + step) / (epochs * per_epoch)
                attack.scale = min(1.0, progress / recipe.ramp) if recipe.ramp else 1.0
                index = index.to(device)
                loss = defense.loss(model, Batch(images, labels[index], index), attack)
                optimiser.zero_grad(set_to_none=True)
                loss.backward()
                nn.utils.clip_grad_value_(model.parameters(), recipe.clip)
                optimiser.step()
                schedule.step()
                total += loss.detach()
            mean = float(total) / per_epoch
            if not math.isfinite(mean):
                raise TrainingError(
                    f"Training broke down in epoch {epoch + 1} of {epochs}: the loss is {mean}. "
                    "Lower the learning rate (training: lr) or look at the defense's loss."
                )
            trained.curve.append(mean)
            if on_epoch:
                on_epoch(epoch + 1, epochs)
    model.eval()
    trained.seconds = time.perf_counter() - started
    trained.cost = counter.total
    trained.relative_cost = trained.cost / (3 * recipe.epochs * per_epoch * size)
    return trained
