"""The process that embeds attacked images without anything else: `python -m ... FOLDER`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from attacks import images_per_pass
from benchmark.core.embedder import Embedder
from benchmark.core.interrupts import leave_signals_to_parent
from benchmark.core.seeding import seed_everything
from benchmark.data import ImageSet
from benchmark.jobs.isolation import EMBEDDINGS, FOUND, IMAGES, LABELS, REQUEST, TENSORS, WEIGHTS
from benchmark.jobs.models import build_model
from benchmark.models import fold_batch_norm, in_float32, whole_float32
from benchmark.plugins.load import load_plugins
from benchmark.records import ModelKey


def embed_folder(folder: Path) -> None:
    """Embeds the images of a folder, and writes the embeddings there.

    Args:
        folder: as `IsolatedModel` fills it.
    """
    request = json.loads((folder / REQUEST).read_text())
    device = request["device"]
    if device == "cpu":
        torch.set_num_threads(1)  # as workers have
    load_plugins([Path(path) for path in request["plugins"]])
    tensors = load_file(folder / TENSORS)
    labels, images = tensors[LABELS], tensors[IMAGES]
    # Black images: a model is built for their number, shape and labels.
    blank = torch.zeros(1, 1, 1, 1).expand(len(labels), *request["image_shape"])
    built_for = ImageSet(blank, labels, torch.arange(len(labels)))
    model, _ = build_model(ModelKey(**request["key"]), built_for, random=True)
    if (folder / WEIGHTS).exists():
        model.load_state_dict(load_file(folder / WEIGHTS))
    model.eval().requires_grad_(False)
    fold_batch_norm(model)
    model = in_float32(model.to(device), images[:1].to(device))
    found = [_embed(model, images, device, seed) for seed in request["seeds"]]
    save_file({EMBEDDINGS: torch.stack(found)}, folder / FOUND)


@whole_float32()
def _embed(model: Embedder, images: Tensor, device: str, seed: int) -> Tensor:
    """Embeds images with the draws of a seed, shape (n, d), on the CPU."""
    seed_everything("isolated", seed)
    size = max(1, images_per_pass(images.shape[1:]) // 2)
    with torch.no_grad():
        return torch.cat([model(batch.to(device)).float().cpu() for batch in images.split(size)])


if __name__ == "__main__":
    leave_signals_to_parent()
    embed_folder(Path(sys.argv[1]))
