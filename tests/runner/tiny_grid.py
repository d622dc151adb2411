"""A grid of real training and attack jobs that cost milliseconds: only what they compute is made up.

Planning, records, arrays, checkpoints and save points are those of any run. A training's weights depend on
the state of the generators after each epoch and on its teachers' weights; an attack's values depend on every
bit of its model's checkpoint and on the outcomes that it follows. Whatever is damaged, lost, doubled or mixed
up on the way therefore changes a value.
"""

import hashlib
import pickle
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from benchmark.core.seeding import derive_seed, seed_everything
from benchmark.data import Folders, ImageSet, Split
from benchmark.data.digits import Digits
from benchmark.evaluation import SCENARIOS, ScenarioScore
from benchmark.jobs import AttackJob, TrainJob
from benchmark.jobs.context import RunContext
from benchmark.jobs.scored_run import ScoredRun
from benchmark.jobs.standing import Standing
from benchmark.models import load_checkpoint, save_checkpoint
from benchmark.planning.config import Configuration
from benchmark.planning.grid import Grid, build_grid
from benchmark.planning.resolve import resolve
from benchmark.records import CLEAN, TrainingRecord
from benchmark.training import SavePoint

QUERIES = 16
TINY = {
    "datasets": ["digits"],
    "backbones": ["smallconv"],
    "losses": ["proxy_anchor"],
    "attacks": ["cascade"],
    "defenses": ["vanilla", "mixup"],
    "seeds": [0, 1, 2],
    "curve": {"attacks": [], "factors": []},
    "device": "cpu",
}
"""What the grid is planned from; some hundred cells."""

TEACHERS = {"mixup": "vanilla"}
"""Which trainings are made to need which others of the same seed."""


class TinyTraining(TrainJob):
    """Trains a linear layer, and saves its state after each epoch.

    Attributes:
        seconds: time of an epoch.
    """

    seconds: float = 0.0

    def cost(self, folders: Folders) -> float:
        return 1.0

    def train(self, context: RunContext) -> TrainingRecord:
        if not self.trained:
            return TrainingRecord()
        store = context.store
        taught = [teacher.weights_hash(context) for teacher in self.teachers.values()]
        seed_everything("tiny", self.id, *taught)
        model = nn.Linear(4, 4)
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.05)
        schedule = LambdaLR(optimizer, lambda epoch: 0.9**epoch)
        saves = SavePoint(
            store.unfinished(self.id), 0.0, context.provenance().packages, stopping=context.stopping
        )
        restored = saves.restore(model, optimizer, schedule, ("epoch", "curve"))
        begun, curve = (restored[0]["epoch"], restored[0]["curve"]) if restored else (0, [])
        for epoch in range(begun, self.epochs):
            spend(self.seconds)
            loss = model(torch.rand(8, 4)).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            curve.append(loss.item())
            notes = {"epoch": epoch + 1, "epochs": self.epochs, "curve": curve}
            saves.save(model, optimizer, schedule, {}, notes)
        save_checkpoint(model, store.checkpoint(self.id), self.key.model_dump())
        return TrainingRecord(
            cost=1.0,
            relative_cost=1.0,
            epochs=self.epochs,
            resumed=begun,
            curve=curve,
            best_epoch=self.epochs,
        )

    def weights_hash(self, context: RunContext) -> str:
        """Hashes the weights in the checkpoint, which is checked as by any job that loads it."""
        if not self.trained:
            return self.key.defense
        model, store = nn.Linear(4, 4), context.store
        load_checkpoint(model, store.checkpoint(self.id), unchecked=store.is_unchecked(self.id))
        every = b"".join(value.numpy().tobytes() for value in model.state_dict().values())
        return hashlib.sha256(every).hexdigest()


class TinyAttack(AttackJob):
    """Computes values from the weights of its models, and from the outcomes that it follows.

    Attributes:
        seconds: how long it takes.
    """

    seconds: float = 0.0

    def cost(self, folders: Folders) -> float:
        return 1.0

    def attack_and_score(
        self, scenarios: Iterable[str], context: RunContext, state: Path | None = None
    ) -> ScoredRun:
        standing = Standing.read(context.store, self.follows) if self.follows else None
        if standing is not None and (reason := standing.reason_to_stop(self.until_chance)):
            unattacked = {scenario: standing.unattacked() for scenario in scenarios}
            return ScoredRun(unattacked, None, {}, attacked_queries=0, notes=[reason])
        models = [self.model, *([self.source] if self.source is not None else [])]
        known = [model.weights_hash(context) for model in models]
        spend(self.seconds)
        scores = {}
        for scenario in scenarios:
            seed = derive_seed(*known, self.attack, self.norm, self.eps, scenario)
            score = self._score(scenario, np.random.default_rng(seed))
            scores[scenario] = score if standing is None else standing.after(score)
        diagnostics = {"repeat_difference": 0.0, "randomised": 0.0, "eot": 1.0, "chance": 0.1}
        return ScoredRun(
            scores,
            None,
            diagnostics if self.attack == CLEAN else {"zero_gradient": 0.0},
            attacked_queries=None if standing is None else len(standing.images),
        )

    def _score(self, scenario: str, random: np.random.Generator) -> ScenarioScore:
        if not SCENARIOS.build(scenario).per_query:
            metrics = dict(zip(("ami", "nmi", "f1"), random.random(3).tolist(), strict=True))
            return ScenarioScore(metrics, {"assignments": random.integers(0, 5, QUERIES)})
        low = 0.0 if self.attack == CLEAN else -0.3
        success = random.uniform(low, 1.0, QUERIES).clip(0.0).astype(np.float32)
        r1 = float(success.mean(dtype=np.float64))
        diagnostics = {} if self.attack == CLEAN else {"rescored_r1": r1}
        return ScenarioScore({"r1": r1}, {"success": success, "queries": np.arange(QUERIES)}, diagnostics)


def spend(seconds: float) -> None:
    if seconds:  # to sleep for no time is to let others go first
        time.sleep(seconds)


def read_noise(self: Digits, folders: Folders) -> Split:
    """Stands in for `Digits.read`, which imports scikit-learn; no image is looked at."""
    images, labels = torch.rand(40, 1, 2, 2), torch.arange(40) % 5
    return Split(
        ImageSet(images, labels, torch.arange(40)), ImageSet(images, labels.clone(), torch.arange(40, 80))
    )


def plan(settings: dict, seconds: float = 0.0, epochs: int = 6) -> tuple[Configuration, Grid]:
    """Plans a grid as a run does, then makes its jobs tiny.

    Args:
        settings: as for `--config`, over those of `TINY`.
        seconds: time of each epoch and of each attack.
        epochs: of each training.
    """
    config = resolve({**TINY, **settings, "training": {"epochs": epochs, "validation": 0}})
    grid = build_grid(config, Folders(Path("cache"), Path("data")))
    return config, made_tiny(grid, seconds)


def made_tiny(grid: Grid, seconds: float = 0.0) -> Grid:
    """Replaces the jobs of a grid by tiny ones under the same identities."""
    plain = {model.job.id: model.job for model in grid.models}
    tiny: dict[str, TinyTraining] = {}

    def training(job: TrainJob) -> TinyTraining:
        if job.id not in tiny:
            wanted = job.key.model_copy(update={"defense": TEACHERS.get(job.key.defense, "")})
            teachers = {one.key.defense: training(one) for one in plain.values() if one.key == wanted}
            tiny[job.id] = TinyTraining(**{**dict(job), "teachers": teachers}, seconds=seconds)
        return tiny[job.id]

    def attack(job: AttackJob) -> TinyAttack:
        source = None if job.source is None else training(job.source)
        return TinyAttack(**{**dict(job), "model": training(job.model), "source": source}, seconds=seconds)

    models = [replace(model, job=training(model.job)) for model in grid.models]
    attacks = [replace(planned, job=attack(planned.job)) for planned in grid.attacks]
    return replace(grid, models=models, attacks=attacks)


def save_plan(path: Path, settings: dict, seconds: float) -> None:
    path.write_bytes(pickle.dumps(plan(settings, seconds)))


def load_plan(path: Path) -> tuple[Configuration, Grid]:
    return pickle.loads(path.read_bytes())
