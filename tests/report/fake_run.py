"""Builds the output folder of an invented run: records and arrays as a real run leaves them."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

import numpy as np

from benchmark.records import (
    CLEAN,
    CellKey,
    CellRecord,
    CellRef,
    CheckRecord,
    CheckResult,
    ModelKey,
    ModelRecord,
    ModelRef,
    Provenance,
    RunManifest,
)
from benchmark.records.store import Store

from .fake_results import generator, metrics, short_id, validations

CLUSTERING, RETRIEVAL = "clustering", "retrieval-query"
EQUAL_EPOCHS, EQUAL_PASSES = "equal-epochs", "equal-passes"
BOTH = (CLUSTERING, RETRIEVAL)
CHECKS = (
    "randomised", "zero_gradient", "one_step_beats_many", "black_box_beats_white_box",
    "transfer_beats_white_box", "suite_too_weak", "unbounded", "not_monotone", "not_converged", "collapsed",
    "rescored",
)  # fmt: skip
"""Names of checks, of which the report knows none by itself."""
OWN, NEIGHBOUR, NOISE = "fgsm[objective=own]", "pgd_decay[objective=neighbour]", "noise"


def provenance(commit: str = "0123abc", created: str = "2025-06-01T12:00:00+00:00") -> Provenance:
    packages = {"torch": "2.6.0", "faiss-cpu": "1.15.0", "scikit-learn": "1.5.0"}
    return Provenance(
        protocol="1", commit=commit, packages=packages, hardware="a 2-core processor", created=created
    )


@dataclass
class FakeRun:
    """The parameters of the invented run.

    `weakness` is the fraction of images that each defense loses per unit of attack. `check_names` are checks
    of the manifest. With `checks` they have results: "pass", or the status that `checks` gives by defense and
    check. `checking` are attacks that are used only by the checks. In several compute modes the models of
    `alike` are the same in all; the others lose half as much under equal passes and train for twice as many
    epochs. `own_models` are names of `weakness` that are there at the first seed only. `training` overwrites
    fields of the training's record, by defense. `asked` are the compute modes of the command, if others.
    """

    weakness: dict[str, float] = field(
        default_factory=lambda: {"vanilla": 0.95, "pgd_at": 0.3, "eat[members=3]": 0.2, "pixels": 0.9}
    )
    attacks: dict[str, float] = field(default_factory=lambda: {OWN: 0.8, NEIGHBOUR: 1.0, NOISE: 0.05})
    curve: dict[str, float] = field(default_factory=lambda: {NEIGHBOUR: 1.0})
    seeds: tuple[int, ...] = (0, 1)
    scenarios: tuple[str, ...] = BOTH
    eps: tuple[float, ...] = (0.1,)
    curve_eps: tuple[float, ...] = (0.05, 0.2)
    norm: str = "linf"
    datasets: tuple[str, ...] = ("glyphs",)
    references: tuple[str, ...] = ("pixels",)
    classes: int = 12
    per_class: int = 10
    command: str = "python run_benchmark.py --defenses all"
    config: dict = field(
        default_factory=lambda: {"preset": "default", "scenarios": list(BOTH), "seeds": [0, 1]}
    )
    compute: tuple[str, ...] = (EQUAL_EPOCHS,)
    budget: float = 27.0
    alike: tuple[str, ...] = ()
    own_models: dict[str, str] = field(default_factory=dict)
    unranked: dict[str, str] = field(default_factory=dict)
    controls: dict[str, list[str]] = field(default_factory=dict)
    randomised: tuple[str, ...] = ()
    plugins: dict[str, str] = field(default_factory=dict)
    training: dict[str, dict] = field(default_factory=dict)
    asked: tuple[str, ...] | None = None
    loss: str = "proxy_anchor"
    chance: float | None = None
    validated: bool = True
    suite: str = "standard"
    descriptions: dict[str, str] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    failed_trainings: dict[str, str] = field(default_factory=dict)
    failed_attacks: dict[tuple[str, str], str] = field(default_factory=dict)
    missing: set[tuple[str, str]] = field(default_factory=set)
    commits: dict[str, str] = field(default_factory=dict)
    backwards: bool = False
    short_names: dict[str, str] = field(default_factory=dict)
    backbone: str = "smallconv"
    check_names: tuple[str, ...] = CHECKS
    checks: dict[str, dict[str, str]] | None = None
    checking: dict[str, float] = field(default_factory=dict)

    def write(self, output: Path) -> RunManifest:
        """Writes records, arrays and the manifest; `backwards` writes them in the opposite order."""
        store = Store(output)
        models: list[ModelRef] = []
        cells: list[CellRef] = []
        for dataset in self.datasets:
            for defense in self.weakness:
                seeds = self.seeds[:1] if defense in self.own_models else self.seeds
                for seed, mode in product(seeds, self.compute):
                    own = () if mode == EQUAL_EPOCHS or defense in self.alike else (mode,)
                    name = f"m-{short_id(dataset, defense, seed, *own)}"
                    models.append(ModelRef(id=name, key=self._model(dataset, defense, seed), compute=mode))
                    cells += [self._ref(models[-1], *what) for what in self._grid()]
        step = -1 if self.backwards else 1
        for model in models[::step]:
            store.save_model(self._model_record(model))
        for ref in cells[::step]:
            record, arrays = self._cell(ref)
            if record is not None:
                store.save_cell(record, arrays)
        manifest = RunManifest(
            command=self.command,
            config=self.config,
            suite=self.suite,
            compute=list(self.asked or self.compute),
            budget=self.budget,
            references=list(self.references),
            checks={name: f"What {name} asks." for name in self.check_names},
            own_models=self.own_models,
            unranked=self.unranked,
            controls=self.controls,
            plugins=self.plugins,
            short_names=self.short_names,
            models=models,
            cells=cells,
            skipped=self.skipped,
            descriptions=self.descriptions,
            provenance=provenance(),
        )
        store.save_manifest(manifest)
        for model in models if self.checks is not None else ():
            for eps in self.eps:
                mine = {cell.id for cell in cells if cell.model_id == model.id}
                store.save_checks(self._check_record(model, eps, mine))
        return manifest

    def _check_record(self, model: ModelRef, eps: float, cells: set[str]) -> CheckRecord:
        given = (self.checks or {}).get(model.key.defense, {})
        values = {"pass": 0.001, "fail": 0.5 + 0.1 * model.key.seed}
        results = [
            CheckResult(
                name=name,
                status=status,
                value=values.get(status),
                tolerance=None if status == "not run" else 0.02,
                excess=values[status] - 0.02 if status in values else None,
                explanation="needs more" if status == "not run" else f"{name} of {model.key.defense} | seen",
            )
            for name in self.check_names
            for status in [given.get(name, "pass")]
        ]
        return CheckRecord(
            model_id=model.id,
            key=model.key,
            norm=self.norm,
            eps=eps,
            cells=sorted(cells),
            results=results,
            provenance=provenance(),
        )

    def _grid(self) -> list[tuple[str, str, str, float, str]]:
        grid = []
        for scenario in self.scenarios:
            grid.append((scenario, CLEAN, CLEAN, 0.0, "clean"))
            grid += [
                (scenario, attack, self.norm, eps, "suite") for eps in self.eps for attack in self.attacks
            ]
            grid += [
                (scenario, attack, self.norm, eps, "curve") for eps in self.curve_eps for attack in self.curve
            ]
        grid += [(RETRIEVAL, attack, self.norm, eps, "check") for eps in self.eps for attack in self.checking]
        return grid

    def _ref(self, model: ModelRef, scenario: str, attack: str, norm: str, eps: float, role: str) -> CellRef:
        key = CellKey(**model.key.model_dump(), scenario=scenario, attack=attack, norm=norm, eps=eps)
        name = f"c-{short_id(model.id, scenario, attack, norm, eps)}"
        return CellRef(id=name, model_id=model.id, key=key, role=role, compute=model.compute)

    def _model_record(self, model: ModelRef) -> ModelRecord:
        reason = self.failed_trainings.get(model.key.defense, "")
        untrained = model.key.defense in (*self.references, *self.own_models)
        cost = 0.0 if untrained else 1.0 + 3.0 * (model.key.defense != "vanilla")
        epochs = 0 if untrained else 24 * (1 + self._differs(model))
        curve = validations(epochs, model.key.seed, self.weakness[model.key.defense]) if epochs else []
        record = ModelRecord(
            id=model.id,
            key=model.key,
            status="failed" if reason else "done",
            reason=reason,
            seconds=10.0 * cost + model.key.seed,
            cost=1000.0 * cost,
            relative_cost=cost,
            embed_cost=3.0 if "eat" in model.key.defense else 1.0,
            epochs=epochs,
            validations=curve if self.validated else [],
            best_epoch=max(curve, key=lambda result: result.score).epoch if curve else 0,
            provenance=provenance(self.commits.get(model.key.defense, "0123abc")),
        )
        return record.model_copy(update=self.training.get(model.key.defense, {}))

    def _model(self, dataset: str, defense: str, seed: int) -> ModelKey:
        return ModelKey(dataset=dataset, backbone=self.backbone, loss=self.loss, defense=defense, seed=seed)

    def _differs(self, ref: ModelRef | CellRef) -> bool:
        return ref.compute != EQUAL_EPOCHS and ref.key.defense not in self.alike

    def _cell(self, ref: CellRef) -> tuple[CellRecord | None, dict[str, np.ndarray]]:
        key = ref.key
        if key.defense in self.failed_trainings or (key.defense, key.attack) in self.missing:
            return None, {}
        made_by = provenance(self.commits.get(key.defense, "0123abc"))
        if (key.defense, key.attack) in self.failed_attacks:
            reason = self.failed_attacks[key.defense, key.attack]
            return CellRecord(
                id=ref.id, model_id=ref.model_id, key=key, status="failed", reason=reason, provenance=made_by
            ), {}
        arrays = self._arrays(key, 0.5 if self._differs(ref) else 1.0)
        spent = 0.0 if ref.role == "clean" else 1360.0
        record = CellRecord(
            id=ref.id,
            model_id=ref.model_id,
            key=key,
            status="done",
            metrics=metrics(arrays),
            diagnostics=self._diagnostics(ref),
            seconds=spent / 100,
            forward_passes=spent,
            backward_passes=spent,
            provenance=made_by,
        )
        return record, arrays

    def _diagnostics(self, ref: CellRef) -> dict[str, float]:
        if ref.role != "clean":
            return {}
        chance = {} if self.chance is None else {"chance": self.chance}
        return chance | ({"randomised": 1.0} if ref.key.defense in self.randomised else {})

    def _arrays(self, key: CellKey, factor: float) -> dict[str, np.ndarray]:
        strength = {**self.checking, **self.attacks, **self.curve}.get(key.attack, 0.0)
        harm = min(0.03 + factor * self.weakness[key.defense] * strength * min(key.eps / 0.1, 1.4), 0.99)
        labels = np.repeat(np.arange(self.classes, dtype=np.int32), self.per_class)
        # The resistance of an image depends on the image and the model, the strength on the attack.
        resists = generator(key.dataset, key.defense, key.seed).random(len(labels))
        luck = generator(*key.model_dump().values())
        lost = resists + 0.2 * luck.normal(size=len(labels)) * (key.attack != CLEAN) < harm
        if key.scenario == RETRIEVAL:
            return {"success": (~lost).astype(np.float32)}
        assignments = np.stack(
            [
                np.where(
                    lost & (luck.random(len(labels)) < 0.95),
                    luck.integers(0, self.classes, len(labels)),
                    labels,
                )
            ]
            * 3
            + [np.where(lost, luck.integers(0, self.classes, len(labels)), labels) for _ in range(2)]
        )
        shown = np.flatnonzero(labels < 8)
        centres = generator(key.dataset, key.defense).normal(size=(self.classes, 16))
        points = centres[labels[shown]] + 0.5 * generator(key.dataset, key.seed).normal(size=(len(shown), 16))
        points += (
            np.where(lost[shown, None], 1.0, 0.0) * (centres[luck.integers(0, 8, len(shown))] - points) * 0.8
        )
        return {
            "assignments": assignments.astype(np.int32),
            "labels": labels,
            "display": (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float16),
            "display_labels": labels[shown],
        }
