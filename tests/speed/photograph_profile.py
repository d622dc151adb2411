"""Profiles a training on photographs: the operators that take most time of the CPU and of the GPU.

    PYTHONPATH=. python tests/speed/photograph_profile.py [--device cuda] [--quick] [--defenses eat pgd_at]

The photographs are drawn, decoded into the cache, cropped and flipped as in training. One epoch is trained
before the profile starts, so that the choice of kernels is not in it. The last line is JSON: for each
defense, images per second, the fraction of the time spent waiting for images, and the top operators by own
time.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from loading import draw
from torch.profiler import ProfilerActivity, profile

from benchmark.data import ImageSet
from benchmark.data.packed import packed
from benchmark.losses import LOSSES
from benchmark.models import BACKBONES, Member, count_flops
from benchmark.training import Recipe, train
from defenses import DEFENSES

TOP = 15


def top_operators(events: Any, by: str) -> list[dict[str, object]]:
    """Lists the operators that take most time of their own.

    Args:
        events: as `key_averages` of a profile returns them.
        by: "cpu" or "device".
    """
    name = f"self_{by}_time_total"
    whole = sum(getattr(event, name) for event in events) or 1
    first = sorted(events, key=lambda event: -getattr(event, name))[:TOP]
    return [
        {
            "operator": event.key[:80],
            "ms": round(getattr(event, name) / 1000, 2),
            "percent": round(100 * getattr(event, name) / whole, 1),
            "calls": event.count,
        }
        for event in first
        if getattr(event, name)
    ]


def main() -> int:
    """Profiles each defense, and writes a table and a line of JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda")
    parser.add_argument("--quick", action="store_true", help="fewer images")
    parser.add_argument("--backbone")
    parser.add_argument("--defenses", nargs="+", default=["eat", "vanilla"])
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        sys.stderr.write("--device cuda: torch finds no GPU here; use --device cpu.\n")
        return 2
    small = options.device == "cpu"
    side = 64 if small else 128
    count, batch = (48, 24) if small else (288 if options.quick else 1920, 96)
    backbone = BACKBONES.build(options.backbone or ("smallconv" if small else "tf_efficientnet_lite0"))
    shape = (3, side, side)
    found: dict[str, object] = {"device": options.device, "backbone": backbone.spec, "side": side}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        images = packed(folder / "cache", draw(folder, count), side + side // 8, side, "photographs")
        labels = torch.arange(count) % 8
        data = ImageSet(images, labels, torch.arange(count))
        recipe = Recipe(batch_size=batch, shift=0, crop=0.08, flip=True, epochs=1, validation=0)
        unit = count_flops(backbone.build_random(shape), shape)
        activities = [ProfilerActivity.CPU, *([] if small else [ProfilerActivity.CUDA])]

        def member() -> Member:
            loss = LOSSES.build("proxy_anchor").build(8, backbone.dim)
            return Member(backbone.build_random(shape), loss, backbone.dim)

        for defense in map(DEFENSES.build, options.defenses):
            train(defense, defense.build(member, labels), data, recipe, 8 / 255, unit, options.device)
            model = defense.build(member, labels)
            with profile(activities=activities) as profiled:
                trained = train(defense, model, data, recipe, 8 / 255, unit, options.device)
            events = profiled.key_averages()
            for by in ("cpu", *([] if small else ["device"])):
                found[f"{defense.spec} by {'CUDA' if by == 'device' else 'CPU'} time"] = top_operators(
                    events, by
                )
            found[f"{defense.spec} images per second"] = round(count / trained.seconds, 1)
            found[f"{defense.spec} waiting for images"] = round(trained.waited / trained.seconds, 4)
            sys.stdout.write(f"{defense.spec}\n")
            sys.stdout.write(events.table(sort_by="self_cpu_time_total", row_limit=TOP) + "\n")
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
