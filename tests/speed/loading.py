"""Measures how fast photographs are decoded, cropped and batched, and how long training waits for them.

`python tests/speed/loading.py [--images 256] [--backbone mobilenetv2_100]`: draws photographs of 500 x 375
pixels as JPEG files, decodes them into the memory-mapped cache, makes the batches of an epoch, and trains a
few steps of `vanilla` and `pgd_at`. It prints images per second on this machine, and the fraction of the
training time spent waiting for images, which should be below 5 %.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from benchmark.data import ImageSet
from benchmark.data.packed import packed
from benchmark.losses import LOSSES
from benchmark.models import BACKBONES, Member, count_flops
from benchmark.training import Recipe, train
from benchmark.training.batches import Batches
from defenses import DEFENSES


def draw(folder: Path, count: int) -> list[Path]:
    """Write smooth random pictures, which compress like photographs."""
    random = np.random.default_rng(0)
    files = []
    for number in range(count):
        small = Image.fromarray(random.integers(0, 256, (24, 32, 3), dtype=np.uint8))
        files.append(folder / f"{number}.jpg")
        small.resize((500, 375), Image.Resampling.BICUBIC).save(files[-1], quality=92)
    return files


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--backbone", default="mobilenetv2_100")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = draw(folder, options.images)
        started = time.perf_counter()
        images = packed(folder / "cache", files, 256, 224, "photographs")
        print(f"decoded and scaled once: {options.images / (time.perf_counter() - started):.0f} images/s")
        labels = torch.arange(options.images) % 8
        data = ImageSet(images, labels, torch.arange(options.images))
        recipe = Recipe(batch_size=options.batch, shift=0, crop=0.08, flip=True, epochs=1, validation=0)
        started = time.perf_counter()
        for _ in Batches(data, recipe, options.device).epoch(torch.arange(options.images), options.batch, 0):
            pass
        print(f"batches of random crops: {options.images / (time.perf_counter() - started):.0f} images/s")
        backbone = BACKBONES.build(options.backbone)
        unit = count_flops(backbone.build_random((3, 224, 224)), (3, 224, 224))
        for defense in map(DEFENSES.build, ("vanilla", "pgd_at")):
            model = defense.build(
                lambda: Member(
                    backbone.build_random((3, 224, 224)),
                    LOSSES.build("proxy_anchor").build(8, backbone.dim),
                    backbone.dim,
                ),
                labels,
            )
            trained = train(defense, model, data, recipe, 8 / 255, unit, options.device)
            print(
                f"{defense.spec}: trained on {options.images / trained.seconds:.1f} images/s, "
                f"{100 * trained.waited / trained.seconds:.2f} % of the time waiting for images"
            )


if __name__ == "__main__":
    main()
