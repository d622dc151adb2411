"""The training loop."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import torch
from torch import nn

from benchmark.core.embedder import Embedder
from benchmark.core.errors import TrainingError
from benchmark.data.base import ImageSet
from benchmark.losses import on_tuples
from benchmark.models import PassCounter, frozen_embedders
from benchmark.records import TrainingRecord, ValidationResult
from benchmark.training.batches import Batches
from benchmark.training.inner import TrainingAttack
from benchmark.training.recipe import Recipe
from benchmark.training.sampling import epoch_order
from benchmark.training.savepoint import SavePoint
from benchmark.training.schedule import WarmUp, make_optimizer
from benchmark.training.validation import Validator
from defenses import Batch, Defense


class _BestEpoch:
    """The weights of the best epoch so far; of two epochs with equal scores, those of the later."""

    def __init__(self) -> None:
        self.result: ValidationResult | None = None
        self.weights: dict[str, torch.Tensor] = {}

    def offer(self, result: ValidationResult, model: nn.Module) -> None:
        if self.result is None or result.score >= self.result.score:
            self.result = result
            self.weights = {key: value.detach().clone() for key, value in model.state_dict().items()}

    def resume(self, results: list[ValidationResult], weights: dict[str, torch.Tensor]) -> None:
        self.result = max(results, key=lambda result: (result.score, result.epoch), default=None)
        self.weights = weights

    def restore(self, model: nn.Module) -> None:
        if self.result is not None:
            model.load_state_dict(self.weights)


def train(
    defense: Defense,
    model: Embedder,
    data: ImageSet,
    recipe: Recipe,
    eps: float,
    unit_flops: int,
    device: torch.device | str = "cpu",
    on_epoch: Callable[[int, int], None] | None = None,
    *,
    epochs: int | None = None,
    teacher_cost: float = 0.0,
    held_out: ImageSet | None = None,
    save_point: SavePoint | None = None,
) -> TrainingRecord:
    """Trains a model in place, and leaves it in evaluation mode.

    Args:
        defense: defines the loss that a step minimizes.
        model: what `defense.build` returned.
        data: the training images.
        recipe: optimizer, schedule, augmentation, training attack.
        eps: radius of the training attack's L_inf ball.
        unit_flops: FLOPs of a forward pass of one image through the plain backbone: one cost unit.
        device: where to train.
        on_epoch: called after each epoch with the number of epochs done and the total.
        epochs: number of epochs; when not given, the recipe's times the defense's `epochs_scale`.
        teacher_cost: cost units of the models that this one is trained with, which are added to its own.
        held_out: images of the validation classes, which choose the epoch whose weights are kept; when not
            given, those of the last epoch are.
        save_point: where the state is saved between epochs; an interrupted training resumes from it.

    Returns:
        Costs, loss curve, validation results, and the epoch that was kept. A model without parameters is not
        trained.

    Raises:
        TrainingError: when the loss is not finite, naming the epoch, or every parameter is frozen.
    """
    started = time.perf_counter()
    model.to(device)
    counter = PassCounter(model, data.image_shape, unit_flops)
    if not any(True for _ in model.parameters()):
        model.eval()
        return TrainingRecord(embed_cost=counter.per_image)
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise TrainingError(
            f"{defense.spec}: every parameter of the model is frozen, so nothing can be trained. Call "
            "requires_grad_(True) on the part to train; the models in `trained` are frozen."
        )
    epochs = epochs or max(1, round(recipe.epochs * defense.epochs_scale))
    per_epoch = max(1, len(data) // recipe.batch_size)
    size = min(recipe.batch_size, len(data))
    optimizer, schedule = make_optimizer(model, recipe, epochs, per_epoch)
    held = frozen_embedders(model)  # before the warm-up, which freezes others
    warm_up = WarmUp(model, min(recipe.warm_up, epochs - 1))
    per_class = recipe.images_per_class if on_tuples(model) else None
    batches = Batches(data, recipe, device)
    attack = TrainingAttack(eps, recipe.inner_steps, recipe.inner_step, recipe.inner_batch_norm == "batch")
    autocast = torch.autocast(
        torch.device(device).type, torch.bfloat16, enabled=recipe.precision == "bfloat16"
    )
    labels = data.labels.to(device)
    validator = Validator(held_out, eps, device) if held_out is not None else None
    # Epochs after which the model is validated, counted from 1.
    validated = {
        math.ceil(epochs * number / recipe.validations) for number in range(1, recipe.validations + 1)
    }
    best = _BestEpoch()
    resumed = 0
    curve: list[float] = []
    validations: list[ValidationResult] = []
    if save_point is not None and (found := save_point.restore(model, optimizer, schedule)) is not None:
        notes, weights = found
        resumed, curve = notes["epoch"], notes["curve"]
        validations = [ValidationResult(**result) for result in notes["validations"]]
        best.resume(validations, weights)
        counter.forward, counter.backward = notes["cost_units"]
        started -= notes["seconds"]
        batches.waited = notes["waited"]
    for epoch in range(resumed, epochs):
        model.train()
        for part in held:
            part.eval()
        warm_up.start_epoch(epoch)
        order = epoch_order(data.labels, size, per_class)
        total = torch.zeros((), device=device)
        with counter:
            for step, (images, index) in enumerate(batches.epoch(order, size, epoch)):
                progress = (epoch * per_epoch + step) / (epochs * per_epoch)
                attack.scale = min(1.0, progress / recipe.ramp) if recipe.ramp else 1.0
                index = index.to(device)
                with autocast:
                    loss = defense.loss(model, Batch(images, labels[index], index, progress), attack)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                nn.utils.clip_grad_value_(model.parameters(), recipe.clip)
                optimizer.step()
                schedule.step()
                total += loss.detach()
        mean = float(total) / per_epoch
        if not math.isfinite(mean):
            raise TrainingError(
                f"Training diverged in epoch {epoch + 1} of {epochs}: the loss is {mean}. "
                "Lower the learning rate (training: lr) or check the defense's loss."
            )
        curve.append(mean)
        if validator is not None and epoch + 1 in validated:
            validations.append(validator.validate(model, epoch + 1))
            best.offer(validations[-1], model)
        if on_epoch:
            on_epoch(epoch + 1, epochs)
        if save_point is not None and epoch + 1 < epochs:
            notes = {
                "epoch": epoch + 1,
                "epochs": epochs,
                "curve": curve,
                "validations": [result.model_dump() for result in validations],
                "cost_units": [counter.forward, counter.backward],
                "seconds": time.perf_counter() - started,
                "waited": batches.waited,
            }
            save_point.save(model, optimizer, schedule, best.weights, notes)
    best.restore(model)
    model.eval()
    plain = 3 * recipe.epochs * per_epoch * size
    return TrainingRecord(
        seconds=time.perf_counter() - started,
        waited=batches.waited,
        cost=counter.total + teacher_cost,
        relative_cost=(counter.total + teacher_cost) / plain,
        teacher_cost=teacher_cost / plain,
        embed_cost=counter.per_image,
        epochs=epochs,
        resumed=resumed,
        curve=curve,
        validations=validations,
        best_epoch=best.result.epoch if best.result else epochs,
    )
