"""The typed records that a run leaves behind: all that the report reads."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict

Status = Literal["done", "failed", "skipped"]
CLEAN = "none"
"""The attack (and norm) name of a clean cell; its eps is 0."""

CheckStatus = Literal["pass", "fail", "not run"]
CHECKS = (
    "randomised",
    "zero_gradient",
    "one_step_beats_many",
    "black_box_beats_white_box",
    "transfer_beats_white_box",
    "suite_too_weak",
    "unbounded",
    "not_monotone",
    "not_converged",
    "collapsed",
    "rescored",
)
"""The checks on whether a figure is true, in the order of the protocol."""


class Frozen(BaseModel):
    """Immutable and strict about its fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelKey(Frozen):
    """Which trained model; every field but the seed is a canonical spec string."""

    dataset: str
    backbone: str
    loss: str
    defense: str
    seed: int


class CellKey(ModelKey):
    """Which figure of which model.

    Attributes:
        scenario: canonical spec of the scenario.
        attack: canonical spec of the attack, "none" for clean figures.
        norm: "linf" or "l2", "none" for clean figures.
        eps: radius of the ball, in the units of pixels in [0, 1]; 0 for clean figures.
    """

    scenario: str
    attack: str
    norm: str
    eps: float

    @property
    def model(self) -> ModelKey:
        """The model that the cell belongs to."""
        return ModelKey(**{name: getattr(self, name) for name in ModelKey.model_fields})


class Provenance(Frozen):
    """What made a record.

    Attributes:
        protocol: version of the protocol.
        commit: source commit, with "-dirty" when the tree had changes, or "unknown" outside a checkout.
        packages: versions of the packages that the figures depend on.
        hardware: processor or GPU, in words.
        created: time of writing, ISO 8601 in UTC.
    """

    protocol: str
    commit: str
    packages: dict[str, str]
    hardware: str
    created: str


class Validation(Frozen):
    """Figures on the validation classes after an epoch.

    Attributes:
        epoch: from 1.
        clean_map_r, attacked_map_r: mAP@R without and under the validation attack, as fractions.
    """

    epoch: int
    clean_map_r: float
    attacked_map_r: float

    @property
    def score(self) -> float:
        """What the epoch was chosen by."""
        return (self.clean_map_r + self.attacked_map_r) / 2


class ModelRecord(Frozen):
    """The outcome of one training.

    Attributes:
        seconds: wall-clock time, validation included.
        waited: those of them that were spent waiting for images.
        cost: passes spent, in units (one forward pass of one image through one plain backbone).
        relative_cost: `cost` as a multiple of what vanilla training costs under the same recipe.
        embed_cost: units that embedding one image takes; vanilla's is 1.
        epochs: passes over the training images.
        resumed: the epoch after which the training went on, when it had been broken off; 0 for one in one go.
        curve: training loss per epoch.
        validations: the figures on the validation classes, in the order of the epochs; empty when none were
            held out.
        best_epoch: the epoch whose weights were kept, from 1; 0 when nothing was trained.
    """

    id: str
    key: ModelKey
    status: Status
    reason: str = ""
    seconds: float = 0.0
    waited: float = 0.0
    cost: float = 0.0
    relative_cost: float = 0.0
    embed_cost: float = 0.0
    epochs: int = 0
    resumed: int = 0
    curve: list[float] = []
    validations: list[Validation] = []
    best_epoch: int = 0
    recipe: dict[str, Any] = {}
    provenance: Provenance


class CellRecord(Frozen):
    """The outcome of one cell.

    Attributes:
        metrics: figures as fractions: "ami", "nmi", "f1" for clustering; "r1" and more K of Recall@K,
            "map_r", "r_precision" for retrieval.
        objective: mean over the images of what the attack maximised, at the images it returned; None for
            attacks without one.
        diagnostics: what the checks look at. Clean cells: "repeat_difference", the largest absolute
            difference of two passes over one batch; "randomised", 1 or 0 as declared; "eot", the passes that
            gradients were averaged over; "chance", R@1 of a random embedding.
            Attack cells: "zero_gradient", the share of images whose first gradient was exactly zero (absent
            for attacks without gradients); for retrieval also "rescored_r1", R@1 of the attacked images
            embedded once more as attacks see the model, with the input requiring a gradient; of a randomised
            model a mean over as many passes as the recorded one, with "rescored_error", the standard error of
            the difference of the two, and "rescored_passes".
        seconds, forward_passes, backward_passes: what the attack took, in cost units. One attack may serve
            several scenarios; each of its cells carries the whole.
    """

    id: str
    model_id: str
    key: CellKey
    status: Status
    reason: str = ""
    metrics: dict[str, float] = {}
    objective: float | None = None
    diagnostics: dict[str, float] = {}
    seconds: float = 0.0
    forward_passes: float = 0.0
    backward_passes: float = 0.0
    provenance: Provenance


class CheckVerdict(Frozen):
    """What one check says of one model in one table.

    Attributes:
        name: one of `CHECKS`.
        status: "not run" where what it needs was not run.
        figure: what decided, None when not run: a difference of R@1 or a share as a fraction, of an
            objective in its own units.
        tolerance: what the figure was held against.
        excess: how far the figure is beyond the tolerance, whichever way that is; negative within it.
        words: the attacks and figures behind it, in one line; or what was missing.
        meaning: what the check asks, in one line.
    """

    name: str
    status: CheckStatus
    figure: float | None = None
    tolerance: float | None = None
    excess: float | None = None
    words: str = ""
    meaning: str = ""


class CheckRecord(Frozen):
    """What the checks say of one model under attacks of one budget.

    Attributes:
        norm, eps: the budget of the table whose row the verdicts are about; some checks look at others too.
        cells: ids of the cells that were there to judge; those of another grid say nothing about this one.
        verdicts: one for each check.
    """

    model_id: str
    key: ModelKey
    norm: str
    eps: float
    cells: list[str] = []
    verdicts: list[CheckVerdict]
    provenance: Provenance


class ModelRef(Frozen):
    """A training that a run's grid holds.

    Attributes:
        compute: the compute mode of the table that it has a row in, "equal-epochs" or "equal-passes". A model
            that is the same in both is listed once for each.
    """

    id: str
    key: ModelKey
    compute: str = "equal-epochs"


class CellRef(Frozen):
    """A cell that a run's grid holds.

    Attributes:
        role: "clean"; "suite" for the attacks that the leaderboard is made of; "curve" for those that are
            there only for the figure over eps; "check" for those that only the checks look at. A cell may be
            listed under several roles, and in both compute modes: it has one record.
        compute: as in `ModelRef`.
    """

    id: str
    model_id: str
    key: CellKey
    role: Literal["clean", "suite", "curve", "check"]
    compute: str = "equal-epochs"


def _listed(value: Any) -> Any:
    """Runs of before there were two compute modes name the one."""
    return [value] if isinstance(value, str) else value


class RunManifest(Frozen):
    """The grid of the last run in an output folder: what the report shows, done or not.

    Attributes:
        command: the command line that was given.
        config: the resolved configuration.
        suite: name of the set of attacks, as asked for.
        compute: the compute modes asked for, in order.
        budget: cost units of a training under equal passes, for each image and epoch of the recipe.
        references: defense specs of rows that are shown without a rank ("pixels").
        skipped: what was left out of the grid and why, in words.
        descriptions: one line each on the data sets, defenses and attacks of the grid, by canonical spec; the
            report, which may not import what it describes, shows those that are given.
    """

    command: str
    config: dict[str, Any]
    suite: str
    compute: Annotated[list[str], BeforeValidator(_listed)]
    budget: float = 0.0
    references: list[str]
    models: list[ModelRef]
    cells: list[CellRef]
    skipped: list[str] = []
    descriptions: dict[str, str] = {}
    provenance: Provenance
