"""The training loop."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import nn

from benchmark.core.embedder import Embedder
from benchmark.core.errors import TrainingError
from benchmark.core.transfer import to_device
from benchmark.data.base import ImageSet
from benchmark.losses import SCALAR_ADVICE, on_tuples, wrong_loss
from benchmark.models import (
    PassCounter,
    check_form,
    check_shapes,
    check_trainable,
    frozen_embedders,
    shapes_of,
)
from benchmark.records import TrainingRecord, ValidationResult
from benchmark.training.batches import Batches
from benchmark.training.captured_attack import CapturedAttacks
from benchmark.training.inner import TrainingAttack
from benchmark.training.pace import BudgetPace, Pace, StepPace
from benchmark.training.recipe import Recipe
from benchmark.training.sampling import epoch_order, strata_of
from benchmark.training.savepoint import SavePoint
from benchmark.training.schedule import WarmUp, make_optimizer
from benchmark.training.timing import Timing, waiting
from benchmark.training.validation import Validator
from defenses import Batch, Defense

_NOTES = ("epoch", "epochs", "curve", "best_epoch", "validations", "cost_units", "seconds", "waited")
"""What the notes of a saved state hold."""


class _BestEpoch:
    """The weights of the best epoch so far; of two epochs with equal scores, those of the later."""

    def __init__(self) -> None:
        self.result: ValidationResult | None = None
        self.weights: dict[str, torch.Tensor] = {}

    def offer(self, result: ValidationResult, model: nn.Module) -> None:
        if self.result is None or result.score >= self.result.score:
            self.result = result
            self.weights = {key: value.detach().clone() for key, value in model.state_dict().items()}

    @property
    def epoch(self) -> int | None:
        return self.result.epoch if self.result else None

    def resume(
        self, results: list[ValidationResult], epoch: int | None, weights: dict[str, torch.Tensor]
    ) -> None:
        self.result = next((result for result in results if result.epoch == epoch), None)
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
    on_epoch: Callable[[int, int, float], None] | None = None,
    *,
    on_step: Callable[[float], None] | None = None,
    epochs: int | None = None,
    budget: float | None = None,
    teacher_cost: float = 0.0,
    held_out: ImageSet | None = None,
    save_point: SavePoint | None = None,
    image_memory: int = 0,
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
        on_epoch: called after each epoch with the epochs done, their total, and the mean loss of the epoch;
            with a budget, the total is an estimate.
        on_step: called at the start and after each step with the fraction of the training that is done.
        epochs: number of epochs; when not given, the recipe's times the defense's `epochs_scale`.
        budget: cost units to spend for each image of an epoch, in place of a number of epochs; `epochs` is
            then the number that is expected. The training ends with the step that comes nearest to it.
        teacher_cost: cost units of the models that this one is trained with, which are added to its own, and
            are part of the budget.
        held_out: images of the validation classes, which choose the epoch whose weights are kept; when not
            given, those of the last epoch are.
        save_point: where the state is saved between epochs; an interrupted training resumes from it.
        image_memory: bytes of a GPU's memory that the training images may fill; see `Batches`.

    Returns:
        Costs, loss curve, validation results, and the epoch that was kept. A model without parameters is not
        trained.

    Raises:
        BenchmarkError: when embeddings have no form that can be scored; see `check_form`.
        TrainingError: when the loss is not finite, naming the epoch; when it is no scalar or has no
            gradient; when every parameter is frozen; when the budget cannot be spent.
        CheckpointError: when steps add, remove or resize what a checkpoint holds.
    """
    started = time.perf_counter()
    model.to(device)
    counter = PassCounter(model, data.image_shape, unit_flops, everywhere=True)
    if not any(True for _ in model.parameters()):
        model.eval()
        return TrainingRecord(embed_cost=counter.per_image)
    check_trainable(model, defense.spec)
    check_form(model, data.batch(slice(0, 2), device))
    epochs = epochs or max(1, round(recipe.epochs * defense.epochs_scale))
    per_epoch = max(1, len(data) // recipe.batch_size)
    size = min(recipe.batch_size, len(data))
    optimizer, schedule = make_optimizer(model, recipe, epochs, per_epoch)
    held = frozen_embedders(model)  # before the warm-up, which freezes others
    warm_up = WarmUp(model, min(recipe.warm_up, epochs - 1))
    per_class = recipe.images_per_class if on_tuples(model) else None
    batches = Batches(data, recipe, device, image_memory)
    captured = CapturedAttacks(epochs * per_epoch, [counter])
    by_batch = recipe.inner_batch_norm == "batch"
    attack = TrainingAttack(eps, recipe.inner_steps, recipe.inner_step, by_batch, captured)
    autocast = torch.autocast(
        torch.device(device).type, torch.bfloat16, enabled=recipe.precision == "bfloat16"
    )
    labels, strata = data.labels.to(device), strata_of(defense, model, len(data))
    validator = Validator(held_out, eps, device) if held_out is not None else None
    best = _BestEpoch()
    resumed, before = 0, 0.0
    timing = Timing(device)
    curve: list[float] = []
    validations: list[ValidationResult] = []
    if (
        save_point is not None
        and (found := save_point.restore(model, optimizer, schedule, _NOTES)) is not None
    ):
        notes, weights = found
        resumed, curve = notes["epoch"], notes["curve"]
        validations = [ValidationResult(**result) for result in notes["validations"]]
        best.resume(validations, notes["best_epoch"], weights)
        counter.forward, counter.backward = notes["cost_units"]
        started, before = started - notes["seconds"], notes["seconds"]
        batches.waited = notes["waited"]
    pace: Pace = StepPace(epochs, per_epoch, resumed)
    if budget is not None:
        left = _left_of(budget * per_epoch * size, teacher_cost, defense)
        pace = BudgetPace(left, counter, epochs * per_epoch)
    done, built = resumed, shapes_of(model)
    if on_step:
        on_step(pace.progress)
    while not pace.over:
        started_at, parts, steps = pace.progress, pace.parts(recipe.validations), 0
        model.train()
        for part in held:
            part.eval()
        warm_up.start_epoch(done)
        order = epoch_order(data.labels, size, per_class, strata)
        total = torch.zeros((), device=device)
        timing.start_epoch()
        with counter:
            for images, index in batches.epoch(order, size, done):
                timing.end("data")
                progress = pace.progress
                attack.scale = min(1.0, progress / recipe.ramp) if recipe.ramp else 1.0
                here = to_device(index, device)
                in_batch = None if strata is None else strata[index]
                with autocast:
                    loss = defense.loss(model, Batch(images, labels[here], here, progress, in_batch), attack)
                if reason := wrong_loss(loss):
                    raise TrainingError(f"{defense.spec}: {reason}. {SCALAR_ADVICE}")
                optimizer.zero_grad(set_to_none=True)
                with _backward_pass(defense):
                    loss.backward()
                timing.end("networks")
                nn.utils.clip_grad_value_(model.parameters(), recipe.clip)
                optimizer.step()
                pace.step()
                schedule.last_epoch = pace.position - 1  # type: ignore[assignment]
                schedule.step()
                total += loss.detach()
                steps += 1
                timing.end("optimizer")
                if on_step:
                    on_step(pace.progress)
                if pace.over:
                    break
        done += 1
        check_shapes(model, built)  # not at the end, when the training would be lost
        mean = float(total) / steps
        timing.end_epoch()
        if pace.progress == started_at:
            raise TrainingError(
                f"{defense.spec}: epoch {done} spent no cost units, so no budget can be spent. "
                "They are counted at the members that `make_member` builds."
            )
        if not math.isfinite(mean):
            raise TrainingError(
                f"Training diverged in epoch {done} of {pace.epochs(done)}: the loss is {mean}. "
                "Lower the learning rate (training: lr) or check the defense's loss."
            )
        curve.append(mean)
        if validator is not None and pace.parts(recipe.validations) > parts:
            validations.append(validator.validate(model, done))
            if pace.progress >= defense.keep_from:
                best.offer(validations[-1], model)
        if on_epoch:
            on_epoch(done, pace.epochs(done), mean)
        if save_point is not None and not pace.over:
            notes = {
                "epoch": done,
                "epochs": pace.epochs(done),
                "curve": curve,
                "best_epoch": best.epoch,
                "validations": [result.model_dump() for result in validations],
                "cost_units": [counter.forward, counter.backward],
                "seconds": time.perf_counter() - started,
                "waited": batches.waited,
            }
            save_point.save(model, optimizer, schedule, best.weights, notes)
    best.restore(model)
    model.eval()
    plain = 3 * recipe.epochs * per_epoch * size
    seconds = time.perf_counter() - started
    return TrainingRecord(
        seconds=seconds,
        waited=batches.waited,
        execution=captured.execution,
        shares=timing.shares(seconds - before),
        gpu_utilization=timing.utilization,
        waited_for=waiting(timing.utilization, batches.waited, seconds),
        cost=counter.total + teacher_cost,
        relative_cost=(counter.total + teacher_cost) / plain,
        teacher_cost=teacher_cost / plain,
        embed_cost=counter.per_image,
        embed_flops=counter.per_image * unit_flops,
        epochs=done,
        resumed=resumed,
        curve=curve,
        validations=validations,
        best_epoch=best.epoch or done,
    )


@contextmanager
def _backward_pass(defense: Defense) -> Iterator[None]:
    """Notes where an error was raised: the traceback of a backward pass holds no line of a plugin."""
    try:
        yield
    except Exception as error:
        # As add_note does from Python 3.11 on.
        error.__notes__ = [f"in the backward pass of {defense.spec}'s loss"]  # type: ignore[attr-defined]
        raise


def _left_of(budget: float, teacher_cost: float, defense: Defense) -> float:
    """What is left of a budget for the training itself.

    Raises:
        TrainingError: when nothing is.
    """
    if teacher_cost >= budget:
        raise TrainingError(
            f"{defense.spec}: training {', '.join(defense.needs)} took {teacher_cost:,.0f} cost units, and "
            f"the budget of both is {budget:,.0f}. Raise --budget."
        )
    return budget - teacher_cost
