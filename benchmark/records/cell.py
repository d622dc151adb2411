"""The record of a cell: one attack on one model, scored in one scenario."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from benchmark.records.keys import CellKey
from benchmark.records.metric_ranges import wrong_metric
from benchmark.records.provenance import Provenance
from benchmark.records.record import Record, Status
from benchmark.records.usage import Usage


class CellRecord(Record):
    """The outcome of one cell.

    Attributes:
        log: path of a file that says more of a failure, relative to the output folder; or empty.
        metrics: fractions by name: "ami", "nmi", "f1" for clustering; "r1" and more K of Recall@K, "map_r",
            "r_precision" for retrieval.
        objective: mean over the images of the attack's objective, at the images it returned; None for
            attacks without one.
        diagnostics: measurements for the checks. Clean cells: "repeat_difference", the largest absolute
            difference of two forward passes over one batch; "randomised", 1 or 0 as declared; "eot", the EOT
            samples of each gradient; "chance", R@1 of a random embedding; "slope_correlation" and
            "slope_ratio" of the slopes that gradients promise and those measured; "stand_in", 1 where the
            gradient is a declared stand-in's (BPDA).
            Attack cells: "zero_gradient", the fraction of images whose first gradient was zero, or
            promised less than 1e-4 of the objective's standard deviation within the ball
            (absent for attacks without gradients); for retrieval also "rescored_r1", R@1 of the attacked
            images embedded once more as attacks see the model, with the input requiring a gradient; of a
            randomised model a mean over as many repeats as the recorded one, with "rescored_error", the
            standard error of the difference of the two, and "rescored_passes", the number of repeats; and
            "disagreement", the fraction of "compared_queries" whose outcome is not the one that the attack's
            margin tells.
            Where an attack follows others, "zero_gradient" is still a fraction of the whole pool, and
            "mixed_r1" is the R@1 that "rescored_r1" is compared with: queries that it did not attack are
            clean.
        follows: ids of the cells that the attack follows: it attacked only the queries whose success is above
            0 in all of them. Its "r1" is then the mean of the lowest success of each query over them and
            itself; the arrays have that as "success", that over them alone as "before", and its own as "own",
            for queries that it did not attack that of the clean image. Empty for attacks on the whole pool.
            Of a randomised model "halves" is its own success in either half of the repeats.
        attacked_queries: how many queries it attacked; None for attacks on the whole pool.
        seconds: wall-clock time of the attack.
        forward_passes, backward_passes: its cost, in units. One attack may serve several scenarios; each of
            its cells carries the whole.
        batch_size: images (times EOT samples) in one forward pass with gradients; 0 where nothing was run.
        precision: of the passes that the attack searched with.
        notes: what a reader should know of how it was run, such as memory that ran out, a sentence each.
        execution: how the attack's steps were computed: "eager", "CUDA graph", or "eager: " and why a
            capture that was tried was given up; empty for clean cells.
        plugin_files: names of the plugins' own files that the cell's identity was made from.
        arrays: names of the arrays that are stored beside the record.
        identity: the parts that the id is the hash of, with the modules that its code starts from, as "code";
            empty in records of older versions.
        usage: what the job used of the machine until the record was written; None where no job ran.
    """

    id: str
    model_id: str
    key: CellKey
    status: Status
    reason: str = ""
    log: str = ""
    metrics: dict[str, float] = Field(default_factory=dict)
    objective: float | None = None
    diagnostics: dict[str, float] = Field(default_factory=dict)
    follows: list[str] = Field(default_factory=list)
    attacked_queries: int | None = None
    seconds: float = 0.0
    forward_passes: float = 0.0
    backward_passes: float = 0.0
    batch_size: int = 0
    precision: str = "float32"
    notes: list[str] = Field(default_factory=list)
    execution: str = ""
    plugin_files: list[str] = Field(default_factory=list)
    arrays: list[str] = Field(default_factory=list)
    identity: dict[str, Any] = Field(default_factory=dict)
    usage: Usage | None = None
    provenance: Provenance

    def impossible(self) -> str:
        """Describes the first metric that is not finite or outside its range; empty without any."""
        return wrong_metric(self.metrics) if self.status == "done" else ""
