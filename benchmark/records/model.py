"""The record of a training: its cost, its curves, and the epoch that was kept."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from benchmark.records.keys import ModelKey
from benchmark.records.metric_ranges import wrong_metric
from benchmark.records.provenance import Provenance
from benchmark.records.record import Record, Status
from benchmark.records.usage import Usage
from benchmark.records.validation import ValidationResult


class TrainingRecord(Record):
    """The outcome of one training.

    Attributes:
        seconds: wall-clock time, validation included.
        waited: the seconds among them that were spent waiting for images.
        shares: fraction of the seconds that each part of a step took ("data", "networks", "optimizer"), and
            all else ("other"), since the training was last resumed.
        gpu_utilization: mean utilization of the GPU in percent; None on a CPU, and where it is not known.
        waited_for: what a GPU that was busy less than 90 % of the time waited for, a clause; else empty.
        execution: how its attacks were computed: "eager", "CUDA graph", or "eager: " and why a capture was
            given up; several where it was not the same for all.
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
    shares: dict[str, float] = Field(default_factory=dict)
    gpu_utilization: float | None = None
    waited_for: str = ""
    execution: str = ""
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
        log: path of a file that says more of a failure, relative to the output folder; or empty.
        recipe: parameters of the training recipe.
        eps: radius of the training attack's L_inf ball.
        weights: fingerprint of an own model's weights and files; empty for what was trained.
        plugin_files: names of the plugins' own files that the model's identity was made from.
        identity: the parts that the id is the hash of, as in `CellRecord`.
        usage: what the job used of the machine until the record was written; None where no job ran.
    """

    id: str
    key: ModelKey
    status: Status
    reason: str = ""
    log: str = ""
    recipe: dict[str, Any] = Field(default_factory=dict)
    eps: float = 0.0
    weights: str = ""
    plugin_files: list[str] = Field(default_factory=list)
    identity: dict[str, Any] = Field(default_factory=dict)
    usage: Usage | None = None
    provenance: Provenance

    def impossible(self) -> str:
        """Describes the first validation result that is outside [0, 1]; empty without any."""
        for result in self.validations:
            scores = {"clean": result.clean_map_r, "attacked": result.attacked_map_r}
            for name, value in scores.items():
                if reason := wrong_metric({"map_r": value}):
                    return f"validation after epoch {result.epoch}, {name}: {reason}"
        return ""
