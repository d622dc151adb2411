"""Fake runs with models of the user's own, whose specs hold paths of a machine."""

from __future__ import annotations

from pathlib import Path

from safetensors.numpy import save_file

from benchmark.core.sealed import write_tensors
from benchmark.records import RunManifest

from .fake_results import attacked_images
from .fake_run import EQUAL_EPOCHS, EQUAL_PASSES, NEIGHBOUR, NOISE, RETRIEVAL, FakeRun

HOME = "/home/me"
MY_MODEL = f'"{HOME}/my models/net.py:make"[weights={HOME}/net.safetensors]'
OTHER = f"{HOME}/other/net.onnx"
PLUGIN = f"distilled[table={HOME}/table.pt]"
FOLDER = f"folder:{HOME}/birds[pool=all,size=32]"
TRANSFER = f"transfer[attack={NEIGHBOUR},source={MY_MODEL}]"
SHORT_NAMES = {
    MY_MODEL: "net.py:make[weights=net.safetensors]",
    OTHER: "net.onnx",
    PLUGIN: "distilled[table=table.pt]",
    FOLDER: "birds[pool=all,size=32]",
    TRANSFER: f"transfer[attack={NEIGHBOUR},source=net.py:make[weights=net.safetensors]]",
}
KINDS = {MY_MODEL: "Python function", OTHER: "ONNX file"}
SMALL = {"classes": 8, "per_class": 6}
REASON = f"{OTHER} was attacked without gradients"
TRAINING = {
    MY_MODEL: {"embed_flops": 4e6, "notes": [f"the output of {MY_MODEL} was normalized"]},
    OTHER: {"embed_flops": 2e6},
}


def models_alone(**options) -> FakeRun:
    """A run of two own models and `pixels`, in which nothing is trained."""
    chosen = {
        "weakness": {MY_MODEL: 0.95, OTHER: 0.5, "pixels": 0.6},
        "attacks": {NEIGHBOUR: 1.0, NOISE: 0.05, TRANSFER: 0.3},
        "datasets": (FOLDER,),
        "backbone": "none",
        "loss": "none",
        "compute": ("none",),
        "asked": (EQUAL_EPOCHS,),
        "seeds": (0,),
        "validated": False,
        **SMALL,
        "own_models": KINDS,
        "unranked": {OTHER: REASON},
        "short_names": SHORT_NAMES,
        "training": TRAINING,
        "checks": {OTHER: {"zero_gradient": "not run"}},
        "suite": f"{NEIGHBOUR},{NOISE},{TRANSFER}",
        "command": f"python run_benchmark.py --model '{MY_MODEL}' {OTHER} --datasets folder:{HOME}/birds",
        "skipped": [f"transfer from {OTHER}, which has no gradients"],
        "descriptions": {MY_MODEL: f"made by {HOME}/my.py."},
        "failed_attacks": {(OTHER, NOISE): f"cannot read '{HOME}/some where/x.bin'"},
    }
    return FakeRun(**chosen | options)


def models_beside_defenses(**options) -> FakeRun:
    """A run of both compute modes with two own models, a plugin and two defenses."""
    chosen = {
        "weakness": {"vanilla": 0.95, "pgd_at": 0.2, PLUGIN: 0.4, MY_MODEL: 0.9, OTHER: 0.5, "pixels": 0.6},
        "attacks": {NEIGHBOUR: 1.0, NOISE: 0.05, TRANSFER: 0.3},
        "compute": (EQUAL_EPOCHS, EQUAL_PASSES),
        **SMALL,
        "own_models": KINDS,
        "unranked": {OTHER: REASON},
        "plugins": {PLUGIN: "1a2b3c4d5e6f"},
        "short_names": SHORT_NAMES,
        "training": TRAINING
        | {
            "vanilla": {"embed_flops": 1e6, "relative_cost": 9.2},
            "pgd_at": {"embed_flops": 1e6, "relative_cost": 10.0},
            PLUGIN: {"relative_cost": 9.0, "teacher_cost": 1.0},
        },
        "checks": {MY_MODEL: {"rescored": "fail"}},
    }
    return FakeRun(**chosen | options)


def save_sealed(tensors: dict, path: Path) -> None:
    """Writes tensors as a store does."""
    write_tensors(path, lambda temporary, metadata: save_file(tensors, temporary, metadata))


def save_images(output: Path, manifest: RunManifest, defense: str, attack: str, **options) -> list[Path]:
    """Saves attacked images of the cells of one attack on one row as a run does."""
    paths = []
    for ref in manifest.cells:
        key = ref.key
        if (key.defense, key.attack, key.scenario, ref.role) == (defense, attack, RETRIEVAL, "suite"):
            paths.append(output / "store" / "images" / f"{ref.id}.safetensors")
            paths[-1].parent.mkdir(exist_ok=True)
            save_sealed(attacked_images(**options), paths[-1])
    return paths
