"""What a job will cost, in passes, before it starts."""

from __future__ import annotations

from pathlib import Path

import torch

from attacks import ATTACKS
from benchmark.models import PassCounter
from benchmark.runner.attacking import AttackJob
from benchmark.runner.records import CLEAN
from benchmark.runner.trained import TrainJob, build_model, load_data
from benchmark.training import Recipe, TrainingAttack
from defenses import DEFENSES, Batch

_PROBE = 32
"""Images in the one training step that is run to see what a step costs."""


class Estimator:
    """Estimates costs in units of one forward pass of one image through the plain backbone.

    Args:
        cache: folder for drawn or unpacked data sets.
    """

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        self._models: dict[str, tuple[float, float, int]] = {}

    def _probe(self, job: TrainJob) -> tuple[float, float, int]:
        """Units of a training step for each image, units of an embedding, whether the model is randomised."""
        if job.id not in self._models:
            data = load_data(job.key.dataset, self._cache)
            model, unit = build_model(job.key, data)
            size = min(_PROBE, len(data.train))
            index = torch.arange(size)
            batch = Batch(data.train.batch(index), data.train.labels[index], index)
            attack = TrainingAttack(job.eps, Recipe(**job.recipe).inner_steps, 0.5)
            step = 0.0
            with PassCounter(model, data.train.image_shape, unit) as counter:
                if any(True for _ in model.parameters()):
                    model.train()
                    DEFENSES.build(job.key.defense).loss(model, batch, attack).backward()
                    step = counter.total / size
            self._models[job.id] = (step, counter.per_image, int(model.randomised))
        return self._models[job.id]

    def cost(self, job: TrainJob | AttackJob) -> float:
        """Units that a job will take; a guess of one plain training where a plugin cannot be probed."""
        training = job if isinstance(job, TrainJob) else job.model
        data = load_data(training.key.dataset, self._cache)
        try:
            step, embed, randomised = self._probe(training)
        except (Exception, SystemExit):  # whatever is wrong with a plugin is told when its job runs
            step, embed, randomised = 3.0, 1.0, 0
        if isinstance(job, TrainJob):
            scale = DEFENSES.build(job.key.defense).epochs_scale
            return step * len(data.train) * Recipe(**job.recipe).epochs * scale
        passes = 1.0 if job.attack == CLEAN else ATTACKS.build(job.attack).passes_per_image()
        scoring = 2.0 * (job.passes if randomised else 1)
        return embed * len(data.test) * (passes * (job.eot if randomised else 1) + scoring)
