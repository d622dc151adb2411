"""How fast attacks are, compared with other libraries and with their forward and backward passes alone.

    python tests/speed/attack_speed.py [--device cuda] [--quick] [--embedders smallconv-28 resnet50-224]

Every library attacks the same images of the same network by PGD in L_inf from a random start, with the same
steps and batches. Torchattacks, foolbox and ART (where it is installed) get scaled cosines to the classes'
centroids as logits. The floor is what our attack cannot do without: in each batch, a forward and a backward
pass for each step, and a forward pass for the last iterate, which the others do not score. A ratio to the
floor is the median, over turns, of a run's time over the mean of the floor's just before and after it. Rows
whose library ends with "-scored" add that forward pass, so that they do the passes that ours does. On a GPU
"floor" is eager and in float32; ours is replayed from a CUDA graph where that pays, and "ours-tf32" and
"ours-bfloat16" search in that precision.

Random weights, batch norm folded and channels last, as the benchmark loads its models. Denormal numbers are
flushed to zero. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec

import torch
from peak_memory import peak_memory
from peer_speed import list_peers
from precision_table import offered

from attacks import ATTACKS, WHOLE, Problem
from benchmark.core.cpu import keep_freed_memory
from benchmark.models import BACKBONES, fold_batch_norm

EPS = 0.1
OBJECTIVES = ("centroid_ce", "neighbour", "information")
PER_CLASS = 20


@dataclass(frozen=True)
class Setting:
    """What is attacked, and for how long.

    Attributes:
        backbone: its name.
        side: of the images, in pixels.
        images, steps, batch: numbers of images, of steps and of images in a batch.
    """

    backbone: str
    side: int
    images: int
    steps: int
    batch: int

    @property
    def name(self) -> str:
        """As `--embedders` takes it."""
        return f"{self.backbone}-{self.side}"


LARGE = (
    ("mobilenetv2_100", 224),
    ("resnet50", 224),
    ("bn_inception", 224),
    ("tf_efficientnet_lite0", 128),
    ("tf_efficientnet_lite0", 224),
)

QUICK_ON_GPU = LARGE[:1]


def settings(device: str, quick: bool) -> list[Setting]:
    """Returns what is measured: more images on a GPU, and fewer networks in a quick run.

    On a GPU a network is attacked in small batches, which are bound by launches, and in batches that fill it.
    """
    if device == "cuda":
        networks = QUICK_ON_GPU if quick else LARGE
        large = [Setting(name, side, 94, 20, 47) for name, side in networks]
        full = [
            Setting(name, side, 256 if quick else 512, 5 if quick else 10, 256) for name, side in networks
        ]
        return [Setting("smallconv", 28, 2048 if quick else 4096, 20, 256), *large, *full]
    small = Setting("smallconv", 28, 1360, 20, 256)
    if quick:
        return [small, Setting("mobilenetv2_100", 224, 8, 5, 8)]
    return [small, *(Setting(name, side, 16, 10, 16) for name, side in LARGE)]


def low_precisions(device: str) -> list[str]:
    """Lists the precisions below float32 in which a search is faster on a device."""
    return [name for name in offered(device) if name != WHOLE] if device == "cuda" else []


def build_problem(setting: Setting, device: str) -> Problem:
    """Builds a network with random weights, and random images of 20 to a class."""
    torch.manual_seed(0)
    shape = (1 if setting.backbone == "smallconv" else 3, setting.side, setting.side)
    model = BACKBONES.build(setting.backbone).build_random(shape)
    model = model.to(memory_format=torch.channels_last).eval().requires_grad_(False)
    fold_batch_norm(model)
    labels = torch.arange(setting.images) % max(2, setting.images // PER_CLASS)
    problem = Problem(
        model.to(device),
        torch.rand(setting.images, *shape, device=device),
        labels.to(device),
        torch.arange(setting.images),
        "linf",
        EPS,
        batch_size=setting.batch,
    )
    _ = problem.clean  # known to every attack before its time starts
    return problem


def floor(problem: Problem, steps: int) -> None:
    """Does the passes of our attack, and nothing else."""
    for batch in problem.images.split(problem.batch_size):
        for _ in range(steps):
            pixels = batch.detach().requires_grad_(True)
            torch.autograd.grad(problem.embedder(pixels).sum(), pixels)
        with torch.no_grad():
            problem.embedder(batch)


def list_attacks(problem: Problem, steps: int) -> Iterator[tuple[str, str, Callable[[], object]]]:
    """Yields each attack: its library, its objective, and a call that attacks the whole pool."""
    for objective in OBJECTIVES:
        attack = ATTACKS.build(f"pgd[objective={objective},steps={steps}]")
        yield "ours", objective, lambda attack=attack: attack.run(problem)
        for name in low_precisions(problem.device.type) if objective == OBJECTIVES[0] else ():
            rounded = replace(problem, precision=name)
            _ = rounded.clean
            yield f"ours-{name}", objective, lambda attack=attack, rounded=rounded: attack.run(rounded)
    for library, attack_pool in list_peers(problem, steps):
        yield library, "centroid_ce", attack_pool


def seconds(work: Callable[[], object], device: str) -> float:
    """Time of a call: with one thread on a CPU its own, which other processes disturb less."""
    clock = time.process_time if device == "cpu" and torch.get_num_threads() == 1 else time.perf_counter
    started = clock()
    work()
    if device == "cuda":
        torch.cuda.synchronize()
    return clock() - started


def measure(setting: Setting, device: str, turns: int) -> list[dict[str, object]]:
    """Measures all libraries on one network; returns a row for each, the floor's first."""
    problem = build_problem(setting, device)

    def bare() -> None:
        floor(problem, setting.steps)

    attacks = list(list_attacks(problem, setting.steps))
    executions: list[str] = []

    def noted(work: Callable[[], object]) -> Callable[[], None]:
        return lambda: executions.append(getattr(work(), "execution", "eager"))

    works = (bare, *(work for _, _, work in attacks))
    peaks = [peak_memory(noted(work), device) for work in works]  # and warms up
    bare_times: list[float] = []
    times: list[list[float]] = [[] for _ in attacks]
    ratios: list[list[float]] = [[] for _ in attacks]
    for _ in range(turns):
        before = seconds(bare, device)
        for place, (_, _, work) in enumerate(attacks):
            took, after = seconds(work, device), seconds(bare, device)
            times[place].append(took)
            ratios[place].append(2 * took / (before + after))
            bare_times.append(before := after)
    rows = [row(setting, device, "floor", "none", bare_times, [1.0], peaks[0])]
    for place, (library, objective, _) in enumerate(attacks):
        found = row(setting, device, library, objective, times[place], ratios[place], peaks[place + 1])
        rows.append({**found, "execution": executions[place + 1]})
    return rows


def row(
    setting: Setting,
    device: str,
    library: str,
    objective: str,
    times: Sequence[float],
    ratios: Sequence[float],
    peak: float,
) -> dict[str, object]:
    """One row of the result, and a line for people."""
    found: dict[str, object] = {
        "embedder": setting.name,
        "device": device,
        "library": library,
        "objective": objective,
        "images": setting.images,
        "steps": setting.steps,
        "batch": setting.batch,
        "images_per_second": round(setting.images / statistics.median(times), 2),
        "ratio_to_floor": round(statistics.median(ratios), 3),
        "ratio_low": round(min(ratios), 3),
        "ratio_high": round(max(ratios), 3),
        "peak_memory_mb": round(peak, 1),
    }
    sys.stdout.write(
        f"{setting.name:<26} {setting.batch:>4} {library:<19} {objective:<12} "
        f"{found['images_per_second']:>10} images/s  "
        f"{found['ratio_to_floor']:.3f} of the floor "
        f"({found['ratio_low']:.3f} to {found['ratio_high']:.3f})  "
        f"{found['peak_memory_mb']:>8} MB\n"
    )
    sys.stdout.flush()
    return found


def main() -> int:
    """Measures, and writes a line for each row, then all of them as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--quick", action="store_true", help="two networks on a CPU, fewer turns")
    parser.add_argument("--embedders", nargs="+", help="only these, as smallconv-28")
    parser.add_argument("--turns", type=int, help="interleaved runs of each (default 7, quick 3)")
    parser.add_argument("--threads", type=int, default=1, help="of the CPU (default 1)")
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        sys.stderr.write("--device cuda: torch finds no GPU here; use --device cpu.\n")
        return 2
    keep_freed_memory()  # as the benchmark's workers do; all libraries gain by it
    # The similarities of an untrained network get denormal weights, which slow some processors down.
    torch.set_flush_denormal(True)
    torch.set_num_threads(options.threads)
    chosen = settings(options.device, options.quick)
    names = [setting.name for setting in chosen]
    if unknown := set(options.embedders or []) - set(names):
        sys.stderr.write(f"--embedders: unknown {', '.join(sorted(unknown))}. Valid: {', '.join(names)}.\n")
        return 2
    hardware = torch.cuda.get_device_name() if options.device == "cuda" else platform.processor() or "CPU"
    sys.stdout.write(f"{hardware}, {options.threads} threads, torch {torch.__version__}\n")
    if find_spec("art") is None:
        sys.stdout.write("ART is not installed, so it has no row.\n")
    rows = [
        found
        for setting in chosen
        if not options.embedders or setting.name in options.embedders
        for found in measure(setting, options.device, options.turns or (3 if options.quick else 7))
    ]
    sys.stdout.write(json.dumps({"rows": rows}) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
