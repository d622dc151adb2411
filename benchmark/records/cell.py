"""The record of a cell: one attack on one model, scored in one scenario."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from benchmark.records.keys import CellKey
from benchmark.records.provenance import Provenance
from benchmark.records.record import Record, Status


class CellRecord(Record):
    """The outcome of one cell.

    Attributes:
        metrics: fractions by name: "ami", "nmi", "f1" for clustering; "r1" and more K of Recall@K, "map_r",
            "r_precision" for retrieval.
        objective: mean over the images of the attack's objective, at the images it returned; None for
            attacks without one.
        diagnostics: measurements for the checks. Clean cells: "repeat_difference", the largest absolute
            difference of two forward passes over one batch; "randomised", 1 or 0 as declared; "eot", the EOT
            samples of each gradient; "chance", R@1 of a random embedding.
            Attack cells: "zero_gradient", the fraction of images whose first gradient was exactly zero
            (absent for attacks without gradients); for retrieval also "rescored_r1", R@1 of the attacked
            images embedded once more as attacks see the model, with the input requiring a gradient; of a
            randomised model a mean over as many repeats as the recorded one, with "rescored_error", the
            standard error of the difference of the two, and "rescored_passes", the number of repeats.
        seconds: wall-clock time of the attack.
        forward_passes, backward_passes: its cost, in units. One attack may serve several scenarios; each of
            its cells carries the whole.
        plugin_files: names of the plugins' own files that the cell's identity was made from.
        identity: the parts that the id is the hash of, with the modules that its code starts from, as "code";
            empty in records of older versions.
    """

    id: str
    model_id: str
    key: CellKey
    status: Status
    reason: str = ""
    metrics: dict[str, float] = Field(default_factory=dict)
    objective: float | None = None
    diagnostics: dict[str, float] = Field(default_factory=dict)
    seconds: float = 0.0
    forward_passes: float = 0.0
    backward_passes: float = 0.0
    plugin_files: list[str] = Field(default_factory=list)
    identity: dict[str, Any] = Field(default_factory=dict)
    provenance: Provenance
