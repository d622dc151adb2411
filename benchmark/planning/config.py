"""The configuration of a run: everything that may be set, validated."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    field_validator,
    model_validator,
)

from attacks import WHOLE, precision_name
from attacks.geometry import MAX_L2
from benchmark.core.errors import UsageError, unknown_name
from benchmark.core.files import expand_home
from benchmark.core.hardware import is_device
from benchmark.core.parameters import Number, explain
from benchmark.core.spec import parse_spec, split_list
from benchmark.training import Recipe

UserPath = Annotated[Path, AfterValidator(expand_home)]
"""A path of the user's, which may begin with `~`."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Evaluation(_Section):
    """How attacks are run and scored.

    Attributes:
        eot: EOT samples that the gradients of a randomised model are averaged over.
        repeats: how often a randomised model embeds the pool, to average its retrieval scores.
    """

    eot: PositiveInt = 5
    repeats: PositiveInt = 20


class Curve(_Section):
    """Attacks that are also run at other budgets, for the plot over eps.

    Attributes:
        attacks: specs of the attacks.
        factors: the other budgets, in units of the data set's headline eps.
    """

    attacks: list[str] = []
    factors: list[PositiveFloat] = []


class Configuration(_Section):
    """Everything that decides what a run computes and where it goes; lists hold spec strings.

    Attributes:
        defenses: the defenses to train; none in a run of own models alone.
        models: specs of the user's own models.
        norm: norms of the attacks' balls.
        eps: budgets; each data set's headline when not given. Only with one norm.
        compute: compute modes, each with tables of its own. "equal-epochs": every defense trains for the
            recipe's epochs; "equal-passes": for as many as it takes to spend the budget.
        budget: cost units of a training under equal passes, for each training image and epoch of the recipe
            (vanilla spends 3 in one epoch, PGD-AT with 3 inner steps 9).
        checks: whether the checks for gradient masking are run.
        training: the recipe.
        training_for: other values of some of its keys for some data sets, by their name.
        attack_precision: of the forward and backward passes that attacks search with, one of `PRECISIONS`;
            what they find is chosen and scored in float32.
        save_images: attacked images that are kept of each row, to look at.
        log: specs of the loggers that finished trainings and cells are written with.
        device: "auto", "cpu", "cuda" (all visible GPUs) or one GPU, as "cuda:1".
        workers: worker processes; when not given, or "auto", one for each core, and on GPUs as many as fit.
        executor: where jobs are done: "local" or "ray", whose parameters stand in brackets.
        ray_address: HOST:PORT of the head of a Ray cluster.
        save_every: seconds between two saves of a training or an attack, from which a killed run resumes.
        retry_failed: whether what failed in an earlier run is tried again.
        job_timeout: seconds that a training or an attack may take; what takes longer fails. None for any.
        data_root: folder of the data sets as they were downloaded.
        download: whether data sets that are missing are fetched into it first.
        pretrained: weights that backbones start from, where their own spec does not say: "auto" (those of
            their library for photographs, none for anything else), "imagenet", "none" or a file.
    """

    defenses: list[str] = []
    models: list[str] = []
    attacks: list[str]
    datasets: list[str]
    backbones: list[str]
    losses: list[str]
    scenarios: list[str]
    seeds: list[Annotated[NonNegativeInt, Field(lt=2**63)]] = Field(min_length=1)
    norm: list[Literal["linf", "l2", "l0"]] = Field(default=["linf"], min_length=1)
    eps: list[Number] | None = None
    compute: list[Literal["equal-epochs", "equal-passes"]] = Field(default=["equal-epochs"], min_length=1)
    budget: PositiveFloat = 27.0
    attack_precision: Annotated[str, AfterValidator(precision_name)] = WHOLE
    preset: str = "default"
    save_images: NonNegativeInt = 0
    output: UserPath = Path("results")
    log: list[str] = []
    device: str = "auto"
    workers: PositiveInt | None = None
    executor: str = "local"
    ray_address: str | None = None
    save_every: NonNegativeFloat = 120.0
    retry_failed: bool = False
    job_timeout: PositiveFloat | None = None
    plugin: list[UserPath] = []
    data_root: UserPath | None = None
    download: bool = False
    pretrained: str = "auto"
    checks: bool = True
    training: Recipe = Recipe()
    training_for: dict[str, dict[str, Any]] = {}
    evaluation: Evaluation = Evaluation()
    curve: Curve = Curve()

    @field_validator("log", mode="before")
    @classmethod
    def _split_loggers(cls, value: Any) -> Any:
        return split_list(value) if isinstance(value, str | list) else value

    @field_validator("defenses", "attacks", "datasets", "backbones", "losses", "scenarios", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        if isinstance(value, str) or (
            isinstance(value, list) and all(isinstance(item, str) for item in value)
        ):
            value = split_list(value)
            if not value:
                raise ValueError("the list is empty; name at least one")
        return value

    @field_validator("models", mode="before")
    @classmethod
    def _each_a_spec(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @field_validator("seeds", mode="before")
    @classmethod
    def _whole(cls, value: Any) -> Any:
        for item in value if isinstance(value, list) else []:
            if isinstance(item, str) and not re.fullmatch(
                r"[+-]?[0-9]+", item
            ):  # int() reads more; lists come here split
                raise ValueError(f"'{item}' is not a whole number; list them, as in 0 1 2")
        return value

    @field_validator("seeds", "eps", "norm", "compute", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        texts = [value] if isinstance(value, str) else value
        if isinstance(texts, list) and texts and all(isinstance(item, str) for item in texts):
            return [item for text in texts for item in re.split(r"[,\s]+", text) if item]
        return [value] if isinstance(value, int | float) else value

    @field_validator("workers", mode="before")
    @classmethod
    def _auto_is_none(cls, value: Any) -> Any:
        return None if value == "auto" else value

    @field_validator("device")
    @classmethod
    def _is_device(cls, value: str) -> str:
        if not is_device(value):
            raise ValueError("use auto, cpu, cuda or cuda:INDEX, as cuda:1")
        return value

    @field_validator("plugin", mode="before")
    @classmethod
    def _several(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @model_validator(mode="after")
    def _names_something(self) -> Any:
        if not self.defenses and not self.models:
            raise ValueError("nothing to evaluate: give --defenses, --model or both")
        return self

    @model_validator(mode="after")
    def _budgets_fit(self) -> Any:
        if self.eps and len(self.norm) > 1:
            raise ValueError("eps with two norms: a number means another thing in each; give one norm")
        if self.norm == ["linf"] and max(self.eps or [0.0]) > 1:
            raise ValueError("eps > 1 in the norm linf: pixels are in [0, 1], so write 8/255, not 8")
        if self.norm == ["l2"] and max(self.eps or [0.0]) > MAX_L2:
            raise ValueError(f"eps > {MAX_L2:g} in the norm l2: no two images are so far from one another")
        if self.norm == ["l0"] and any(not (eps >= 1 and eps.is_integer()) for eps in self.eps or []):
            raise ValueError("eps in the norm l0 counts changed pixels: write whole numbers from 1 on, as 20")
        return self

    @model_validator(mode="after")
    def _recipes_fit(self) -> Any:
        for name, changes in self.training_for.items():
            for key in changes:
                if key not in Recipe.model_fields:
                    raise unknown_name(f"key in training_for: {name}", key, Recipe.model_fields)
            try:
                self.recipe(name)
            except ValidationError as error:
                raise UsageError(f"training_for: {name}: {explain(error)}") from None
        return self

    def recipe(self, dataset: str) -> Recipe:
        """The recipe of a data set, given its spec or name; the key `folder` is for every `folder:PATH`."""
        name = parse_spec(dataset).name
        named = {parse_spec(text).name: changes for text, changes in self.training_for.items()}
        changes = named.get(name, named.get(name.partition(":")[0], {}))
        return Recipe(**{**self.training.model_dump(), **changes})

    @field_validator("norm", "compute")
    @classmethod
    def _each_once(cls, values: list[Any]) -> list[Any]:
        return list(dict.fromkeys(values))

    @field_validator("seeds")
    @classmethod
    def _distinct(cls, values: list[int]) -> list[int]:
        twice = [value for value, count in Counter(values).items() if count > 1]
        if twice:
            raise ValueError(f"{twice[0]} is given twice; give each seed once")
        return values

    @field_validator("eps")
    @classmethod
    def _sensible(cls, values: list[float] | None) -> list[float] | None:
        if values is None:
            return None
        if any(value < 0 for value in values):
            raise ValueError("it cannot be negative")
        return list(dict.fromkeys(values))

    @field_validator("eps")
    @classmethod
    def _positive(cls, values: list[float] | None) -> list[float] | None:
        if values is not None and (not values or min(values) == 0):
            raise ValueError("an attack needs eps > 0; clean cells are always made")
        return values
