"""The record of a training: its cost, its curves, and the epoch that was kept."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from benchmark.records.keys import ModelKey
from benchmark.records.provenance import Provenance
from benchmark.records.record import Record, Status
from benchmark.records.validation import ValidationResult


class TrainingRecord(Record):
    """The outcome of one training.

    Attributes:
        seconds: wall-clock time, validation included.
        waited: the seconds among them that were spent waiting for images.
        cost: units of the training, validation not included (one unit is one forward pass of one image
            through one plain backbone), with those of the models that it was trained with.
        relative_cost: `cost` as a multiple of what vanilla training costs under the same recipe.
        embed_cost: units that embedding one image takes; vanilla's is 1.
        embed_flops: FLOPs of embedding one image; 0 where they are unknown.
        teacher_cost: the part of `relative_cost` that other models cost which this one was trained with.
        epochs: epochs that were begun; under equal passes, which end with a step, the last may be a part.
        resumed: the epoch after which an interrupted training was resumed; 0 for an uninterrupted one.
        curve: mean training loss of each epoch.
        validations: the results on the validation classes, in the order of the epochs; empty when none were
            held out.
        best_epoch: the epoch whose weights were kept, from 1; 0 when nothing was trained.
        notes: what a reader of the metrics must know of the model, a clause each.
    """

    seconds: float = 0.0
    waited: float = 0.0
    cost: float = 0.0
    relative_cost: float = 0.0
    embed_cost: float = 0.0
    embed_flops: float = 0.0
    teacher_cost: float = 0.0
    epochs: int = 0
    resumed: int = 0
    curve: list[float] = Field(default_factory=list)
    validations: list[ValidationResult] = Field(default_factory=list)
    best_epoch: int = 0
    notes: list[str] = Field(default_factory=list)


class ModelRecord(TrainingRecord):
    """The record of a trained model, or of the reason why there is none.

    Attributes:
        recipe: parameters of the training recipe.
        eps: radius of the training attack's L_inf ball.
        weights: fingerprint of an own model's weights and files; empty for what was trained.
        plugin_files: names of the plugins' own files that the model's identity was made from.
        identity: the parts that the id is the hash of, as in `CellRecord`.
    """

    id: str
    key: ModelKey
    status: Status
    reason: str = ""
    recipe: dict[str, Any] = Field(default_factory=dict)
    eps: float = 0.0
    weights: str = ""
    plugin_files: list[str] = Field(default_factory=list)
    identity: dict[str, Any] = Field(default_factory=dict)
    provenance: Provenance
