"""Embedding attacked images in a process that has nothing but them, for models of other people's code."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from benchmark.core.errors import BenchmarkError
from benchmark.jobs.context import RunContext
from benchmark.jobs.models import load_data, training_images
from benchmark.jobs.training_run import TrainingRun
from benchmark.losses import LOSSES
from benchmark.models import BACKBONES
from benchmark.models.own.python_entry import PythonEntry
from benchmark.plugins.load import installed_modules, module_name
from benchmark.records import ModelKey
from defenses import DEFENSES

REQUEST, LABELS, IMAGES, EMBEDDINGS = "request.json", "labels", "images", "embeddings"
WEIGHTS, TENSORS = "weights.safetensors", "tensors.safetensors"
FOUND = "embeddings.safetensors"
"""Files of the folder that the process gets, and the names of the tensors in them."""

PATIENCE = 1800.0
"""Seconds that the process may take."""

_SHOWN = 300
"""Letters of its last words that an error shows."""


@dataclass(frozen=True)
class IsolatedModel:
    """A model that a process of its own loads, to embed images; the process gets nothing else.

    It gets the code that the model is made of, the checkpoint, the labels of the training images, and the
    images; neither the data, the clean pool, its labels, nor the folders of the run. It runs as this user: no
    lock keeps it from the disk.

    Attributes:
        key: the key of the model.
        labels: of the images that it was trained on, shape (n,); zeros where it is not trained.
        image_shape: (C, H, W).
        checkpoint: the file of its weights; None where it has none.
        context: the context of the run.
    """

    key: ModelKey
    labels: Tensor
    image_shape: tuple[int, int, int]
    checkpoint: Path | None
    context: RunContext

    def __call__(self, images: Tensor, seeds: Sequence[int]) -> Tensor:
        """Embeds images once for each seed of the model's draws.

        Args:
            images: in [0, 1], shape (n, C, H, W), on the CPU.
            seeds: one for each repeat.

        Returns:
            Embeddings, shape (repeats, n, d).

        Raises:
            BenchmarkError: when the process fails, with its last words.
        """
        with TemporaryDirectory(prefix="isolated-") as name:
            folder = Path(name)
            request = {
                "key": self.key.model_dump(),
                "image_shape": self.image_shape,
                "plugins": [str(path) for path in self.context.plugins],
                "device": self.context.device,
                "seeds": list(seeds),
            }
            (folder / REQUEST).write_text(json.dumps(request))
            save_file({LABELS: self.labels, IMAGES: images.contiguous()}, folder / TENSORS)
            if self.checkpoint is not None:
                shutil.copyfile(self.checkpoint, folder / WEIGHTS)
            return self._embed(folder)

    def _embed(self, folder: Path) -> Tensor:
        code, words = self.context.embed_alone(folder, PATIENCE)
        if code is None:
            raise _failed(f"it took more than {PATIENCE:.0f} seconds")
        if code:
            last = " ".join((words.strip().splitlines() or ["no message"])[-1].split())
            raise _failed(f"exit code {code}, {last[:_SHOWN]}")
        try:
            return load_file(folder / FOUND)[EMBEDDINGS]
        except (OSError, KeyError, SafetensorError):
            raise _failed("it ended without embeddings") from None


def _failed(reason: str) -> BenchmarkError:
    return BenchmarkError(
        f"A process that has only the attacked images could not embed them: {reason.rstrip('.')}. Load what "
        "the model needs in `build`, from its checkpoint or from files named in full."
    )


def isolated_model(training: TrainingRun, context: RunContext) -> IsolatedModel | None:
    """Returns a trained model for a process of its own; None where no other people's code is in it.

    Also None for what another process cannot load: objects and classes of this process alone.
    """
    key = training.key
    loadable = {module_name(path) for path in context.plugins} | set(installed_modules())
    if not has_foreign_code(key, lambda module: module in loadable):
        return None
    defense = DEFENSES.build(key.defense)
    data = load_data(key.dataset, context.folders)
    if not defense.trained:
        return IsolatedModel(key, torch.zeros_like(data.test.labels), data.test.image_shape, None, context)
    images = training_images(training.recipe, data)[0]
    checkpoint = context.store.checkpoint(training.id)
    return IsolatedModel(key, images.labels, images.image_shape, checkpoint, context)


def has_foreign_code(key: ModelKey, is_foreign: Callable[[str], bool]) -> bool:
    """Whether other people's code is in a model, such as a plugin's, or a model from a Python file.

    Args:
        key: the key of the model.
        is_foreign: whether a module, by its name, is other people's.
    """
    defense = DEFENSES.build(key.defense)
    parts = list(defense.parts())
    if defense.trained:
        parts += [*BACKBONES.build(key.backbone).parts(), *LOSSES.build(key.loss).parts()]
    foreign = any(is_foreign(type(part).__module__) for part in parts)
    return foreign or isinstance(getattr(defense, "model", None), PythonEntry)
