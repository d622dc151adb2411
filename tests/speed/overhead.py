"""How much slower training steps are than their forward and backward passes alone.

    python tests/speed/overhead.py

Each line is a ratio within one run: time of the thing over time of the same number of bare forward and
backward passes of the same model on the same images. 1.0 is the floor.
"""

import sys
import time
from collections.abc import Callable

import torch

from benchmark.data.base import ImageSet
from benchmark.losses import LOSSES
from benchmark.models import BACKBONES, Member, count_flops
from benchmark.training import Recipe, train
from defenses import DEFENSES

SHAPE = (1, 28, 28)
CLASSES, IMAGES = 68, 1360


def best_of(work: Callable[[], object], turns: int = 5) -> float:
    """Shortest of several times, in seconds: the one that other processes disturbed least."""
    times = []
    for _ in range(turns):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times)


def main() -> None:
    """Measures and writes one line each."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    backbone, loss = BACKBONES.build("smallconv"), LOSSES.build("proxy_anchor")

    def make_member() -> Member:
        return Member(backbone.build(SHAPE), loss.build(CLASSES, backbone.dim), backbone.dim)

    images = torch.rand(IMAGES, *SHAPE)
    labels = torch.arange(IMAGES) % CLASSES
    data = ImageSet(images, labels, torch.arange(IMAGES))

    unit = count_flops(make_member(), SHAPE)
    recipe = Recipe(epochs=1)
    member = make_member().to(memory_format=torch.channels_last).train()

    def bare_epoch() -> None:
        for index in torch.arange(IMAGES // recipe.batch_size * recipe.batch_size).split(recipe.batch_size):
            member.zero_grad()
            member(images[index]).sum().backward()

    floor = best_of(bare_epoch) / 3  # one unit of cost for each image of the epoch
    for name in DEFENSES.names():
        defense = DEFENSES.build(name)
        model = defense.build(make_member, labels).to(memory_format=torch.channels_last)
        if not any(True for _ in model.parameters()):
            continue
        trained = train(defense, model, data, recipe, 0.1, unit)
        ratio = trained.seconds / (floor * trained.relative_cost * 3)
        sys.stdout.write(f"{'training':<14} an epoch of {name:<18} {ratio:5.2f}\n")


if __name__ == "__main__":
    main()
