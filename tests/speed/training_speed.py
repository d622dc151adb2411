"""How much longer does an epoch take than the forward and backward passes that it must make?

    python tests/speed/training_speed.py [--device cpu|cuda] [--quick] [--defenses NAME ...] [--turns N]

The bare passes of a defense are recorded: which network is run on how many images, with a gradient to its
parameters or to the images. They are then made again with nothing around them: no loss, no optimizer, no
attack step, no data. Epochs and bare passes take turns; shown is the median of the ratios of neighboring
turns, with the lowest and the highest, and what an epoch's time goes into: data, optimizer, the bare passes,
and "Python", which is all else, losses and attack steps included. On a GPU, the last columns are the mean
utilization that NVML reports over epochs without bare passes between them, and how attacks were computed:
eagerly or by replays of a CUDA graph, as in trainings that are long enough. The last line is JSON.

On a CPU use one thread, as workers do: OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from benchmark.core.cpu import keep_freed_memory
from benchmark.data.base import ImageSet
from benchmark.losses import LOSSES
from benchmark.models import BACKBONES, Backbone, Member, count_flops, frozen
from benchmark.training import Recipe, captured_attack, train
from benchmark.training.timing import gpu_utilization
from defenses import DEFENSES, Defense

EPS = 8 / 255
PER_CLASS = 20
SECONDS_ALONE = 1.6
"""Seconds at the rate of bare passes of the epochs over which the utilization of a GPU is measured."""

LOOKS_FROM, LOOKS_EVERY = 0.5, 0.1
"""Seconds from their start to the first look at the utilization, which tells of the moments before, and
between looks."""

DEFENSE_NAMES = ("vanilla", "pgd_at", "trades", "eat")


class Setting(NamedTuple):
    """A network, its images, and the recipe of its trainings."""

    backbone: str
    side: int
    images: int
    recipe: Recipe


class Pass(NamedTuple):
    """A pass through a network: number of images, and whether its parameters and the images get gradients."""

    network: nn.Module
    images: int
    to_parameters: bool
    to_images: bool


def settings(device: str, quick: bool) -> list[Setting]:
    """Returns what is measured: larger batches and photographs on a GPU, and less in a quick run."""
    crops = {"shift": 0, "crop": 0.25, "flip": True, "validation": 0}
    if device == "cuda":
        photographs = Recipe(batch_size=96, precision="bfloat16", **crops)
        return [
            Setting("smallconv", 28, 64 * (10 if quick else 21), Recipe()),
            Setting("tf_efficientnet_lite0", 128, 96 * (5 if quick else 8), photographs),
            *([] if quick else [Setting("mobilenetv2_100", 224, 96 * 8, photographs)]),
        ]
    small = Setting("smallconv", 28, 1360, Recipe())
    if quick:
        return [small, Setting("mobilenetv2_100", 64, 16, Recipe(batch_size=8, **crops))]
    return [small, Setting("mobilenetv2_100", 224, 48, Recipe(batch_size=16, **crops))]


def make_data(setting: Setting) -> ImageSet:
    """Draws random images, float32 for the small network and uint8 for photographs."""
    channels = 1 if setting.backbone == "smallconv" else 3
    shape = (setting.images, channels, setting.side, setting.side)
    photographs = torch.randint(256, shape, dtype=torch.uint8)
    numbers = torch.arange(setting.images)
    labels = numbers % max(2, setting.images // PER_CLASS)
    return ImageSet(torch.rand(shape) if channels == 1 else photographs, labels, numbers)


def recorded_passes(
    defense: Defense, model: nn.Module, data: ImageSet, setting: Setting, unit: int, device: str
) -> list[Pass]:
    """Trains one epoch, and returns the passes of its first step."""
    passes: list[Pass] = []
    batches = []

    def record(network: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        to_parameters = output.requires_grad and any(p.requires_grad for p in network.parameters())
        passes.append(
            Pass(network, len(inputs[0]), to_parameters, output.requires_grad and not to_parameters)
        )

    class Recorded(type(defense)):  # type: ignore[misc]
        def loss(self, model: Any, batch: Any, attack: Any) -> Tensor:
            if not batches:
                passes.clear()  # what was run before the first step
            elif len(batches) == 1:
                batches.append(len(passes))
            batches.append(batch)
            return super().loss(model, batch, attack)

    networks = [part.embedder for part in model.modules() if isinstance(part, Member)]
    handles = [network.register_forward_hook(record) for network in networks]
    spied = Recorded.model_construct(**dict(defense))
    try:
        train(spied, model, data, setting.recipe, EPS, unit, device, epochs=1)
    finally:
        for handle in handles:
            handle.remove()
    return passes[: batches[1]]


def bare_epoch(passes: list[Pass], steps: int, images: Tensor, precision: str) -> Callable[[], object]:
    """Returns a call that makes the passes of an epoch, and nothing else."""
    batches = {one.images: images[: one.images] for one in passes}
    networks = nn.ModuleList(list(dict.fromkeys(one.network for one in passes)))
    autocast = torch.autocast(images.device.type, torch.bfloat16, enabled=precision == "bfloat16")
    attacks = [one for one in passes if not one.to_parameters]
    trained = [one for one in passes if one.to_parameters]

    def run() -> None:
        with autocast:
            for _ in range(steps):
                with frozen(networks):
                    for network, count, _, to_images in attacks:
                        if not to_images:
                            with torch.no_grad():
                                network(batches[count])
                            continue
                        pixels = batches[count].detach().requires_grad_(True)
                        output = network(pixels)
                        torch.autograd.grad(output, pixels, torch.ones_like(output))
                networks.train()
                for parameter in networks.parameters():
                    parameter.grad = None
                for network, count, _, _ in trained:
                    output = network(batches[count])
                    output.backward(torch.ones_like(output))

    return run


def timed(work: Callable[[], object], device: str) -> float:
    """Seconds that a call takes, the GPU's work included."""
    if device == "cuda":
        torch.cuda.synchronize()
    started = time.perf_counter()
    work()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def shares_of_epoch(shares: dict[str, float], ratio: float) -> dict[str, float]:
    """Returns what an epoch's time goes into: the loss, the attack and Python are what nothing else took.

    Args:
        shares: those of the record, of a training with bare passes between its epochs.
        ratio: of an epoch to its bare passes.
    """
    steps = 1 - shares["other"]
    parts = {part: shares[part] / steps for part in ("data", "optimizer")}
    passes = min(1 / ratio, 1 - sum(parts.values()))
    return {**parts, "passes": passes, "Python": 1 - passes - sum(parts.values())}


def measure(name: str, setting: Setting, device: str, turns: int) -> dict[str, Any]:
    """Measures one defense on one network."""
    torch.manual_seed(0)
    backbone: Backbone = BACKBONES.build(setting.backbone)
    data = make_data(setting)

    def make_member() -> Member:
        criterion = LOSSES.build("proxy_anchor").build(data.num_classes, backbone.dim)
        return Member(backbone.build_random(data.image_shape), criterion, backbone.dim)

    unit = count_flops(make_member(), data.image_shape)
    defense = DEFENSES.build(name)
    model = defense.build(make_member, data.labels).to(device, memory_format=torch.channels_last)
    steps = setting.images // setting.recipe.batch_size
    passes = recorded_passes(defense, model, data, setting, unit, device)
    images = data.batch(slice(0, setting.recipe.batch_size), device)
    images = images.contiguous(memory_format=torch.channels_last)
    bare = bare_epoch(passes, steps, images, setting.recipe.precision)
    bare()
    alone = math.ceil(SECONDS_ALONE / timed(bare, device)) if device == "cuda" else 0
    epochs: list[float] = []
    floors: list[float] = []
    looks: list[float] = []

    def take_turn(done: int, total: int, loss: float) -> None:
        # Called after each epoch of one training: what a training does once is not part of an epoch.
        if done > turns + 1:
            return
        if device == "cuda":
            torch.cuda.synchronize()
        epochs.append(time.perf_counter() - started[0])
        floors.append(timed(bare, device))
        model.train()
        started[0] = time.perf_counter()

    def look(progress: float) -> None:
        # Called after each step.
        seconds = time.perf_counter() - started[0]
        if len(floors) <= turns or seconds < LOOKS_FROM + LOOKS_EVERY * len(looks):
            return
        if (percent := gpu_utilization(torch.device(device))) is not None:
            looks.append(percent)

    # As much as a single worker has for its images.
    image_memory = torch.cuda.mem_get_info()[1] // 4 if device == "cuda" else 0
    started = [time.perf_counter()]
    record = train(
        defense,
        model,
        data,
        setting.recipe,
        EPS,
        unit,
        device,
        take_turn,
        on_step=look,
        epochs=turns + 1 + alone,
        image_memory=image_memory,
    )
    ratios = [epoch / floor for epoch, floor in zip(epochs[1:], floors[1:], strict=True)]
    return {
        "defense": name,
        "embedder": setting.backbone,
        "side": setting.side,
        "batch": setting.recipe.batch_size,
        "device": device,
        "images_per_second": steps * setting.recipe.batch_size / statistics.median(epochs[1:]),
        "ratio_to_floor": statistics.median(ratios),
        "lowest": min(ratios),
        "highest": max(ratios),
        "shares": shares_of_epoch(record.shares, statistics.median(ratios)),
        "gpu_utilization": statistics.mean(looks) if looks else None,
        "execution": record.execution,
    }


def main() -> None:
    """Measures, and writes a line for each network and defense, and a line of JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--quick", action="store_true", help="smaller images, fewer turns; under two minutes")
    parser.add_argument("--defenses", nargs="+", default=DEFENSE_NAMES, choices=DEFENSES.names())
    parser.add_argument("--turns", type=int, help="epochs of each (default: 3 if quick, else 9)")
    options = parser.parse_args()
    keep_freed_memory()  # as in workers
    captured_attack.FEWEST_REPLAYS = 1  # as in a long training
    rows = []
    for setting in settings(options.device, options.quick):
        for name in options.defenses:
            turns = options.turns or (3 if options.quick else 9)
            row = measure(name, setting, options.device, turns)
            rows.append(row)
            parts = ", ".join(f"{part} {100 * share:.0f} %" for part, share in row["shares"].items())
            speed = f"{row['images_per_second']:8.0f} images/s"
            busy = "" if row["gpu_utilization"] is None else f"  GPU {row['gpu_utilization']:.0f} %"
            how = f"  {row['execution']}" if options.device == "cuda" else ""
            print(
                f"{setting.backbone:<22} {setting.side:>4} {name:<18} {row['ratio_to_floor']:5.3f} "
                f"({row['lowest']:.3f}-{row['highest']:.3f}) {speed}  {parts}{busy}{how}",
                flush=True,
            )
    print(json.dumps({"rows": rows}))


if __name__ == "__main__":
    main()
