"""The manifest of a run: the models and cells of the grid, and the configuration behind them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from benchmark.records.keys import CellKey, ModelKey
from benchmark.records.provenance import Provenance
from benchmark.records.record import Record

Role = Literal["clean", "suite", "curve", "check"]
"""What a cell is for: "clean"; "suite" for the attacks that the leaderboard is made of; "curve" for attacks
used only by the plot over eps; "check" for attacks used only by the checks."""


class ModelRef(Record):
    """A training of a run's grid.

    Attributes:
        compute: the compute mode of the table that it has a row in, "equal-epochs" or "equal-passes", or
            "none" where nothing was trained. A model that is the same in both is listed once for each.
    """

    id: str
    key: ModelKey
    compute: str = "equal-epochs"


class CellRef(Record):
    """A cell of a run's grid.

    Attributes:
        role: what it is for. A cell may be listed under several roles, and in both compute modes: it has one
            record.
        compute: as in `ModelRef`.
    """

    id: str
    model_id: str
    key: CellKey
    role: Role
    compute: str = "equal-epochs"


class RunManifest(Record):
    """The grid of the last run in an output folder: what the report shows, done or not.

    Attributes:
        command: the command line that was given.
        merged: the commands of the runs, where the folder was merged from those of several.
        config: the resolved configuration.
        suite: name of the set of attacks, as asked for.
        compute: the compute modes asked for, in order.
        budget: cost units of a training under equal passes, for each image and epoch of the recipe.
        references: defense specs of rows that are shown without a rank ("pixels").
        checks: what each check for gradient masking looks for, by its name, in the order of the columns.
        whole_range: for each data set and norm, the eps from which on the ball holds every image.
        own_models: what kind of file or code each of the user's own models is, in words, by its spec, which
            stands in the keys in place of a defense; nothing was trained for them.
        unranked: why a row that is no reference has no rank, in words, by its defense's spec.
        controls: for each defense that is a control the names of those that it is the control of, by its
            name.
        plugins: a short hash of the plugin files of each defense that is a plugin's, by its spec.
        short_names: what tables, plots and file names show in place of a spec that holds a path, by that spec
            (of a data set, backbone, loss, defense, own model or attack); others are shown as they are.
        skipped: what was left out of the grid and why, in words.
        descriptions: one line each on the data sets, defenses and attacks of the grid, by canonical spec; the
            report, which may not import what it describes, shows those that are given.
        components: one line each on what the attacks are made of, by names without parameters.
    """

    command: str
    merged: list[str] = Field(default_factory=list)
    config: dict[str, Any]
    suite: str
    compute: list[str]
    budget: float = 0.0
    references: list[str]
    checks: dict[str, str] = Field(default_factory=dict)
    whole_range: dict[str, dict[str, float]] = Field(default_factory=dict)
    own_models: dict[str, str] = Field(default_factory=dict)
    unranked: dict[str, str] = Field(default_factory=dict)
    controls: dict[str, list[str]] = Field(default_factory=dict)
    plugins: dict[str, str] = Field(default_factory=dict)
    short_names: dict[str, str] = Field(default_factory=dict)
    models: list[ModelRef]
    cells: list[CellRef]
    skipped: list[str] = Field(default_factory=list)
    descriptions: dict[str, str] = Field(default_factory=dict)
    components: dict[str, str] = Field(default_factory=dict)
    provenance: Provenance

    def impossible(self) -> str:
        """Says that the grid is empty, which no run writes; empty when it is not."""
        return "" if self.models or self.cells else "it lists no models and no cells"
