"""The configuration of a run: preset, then file, then command line, validated into one object."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import (
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

from benchmark.core.errors import UsageError, unknown_name
from benchmark.core.parameters import Number, explain
from benchmark.core.spec import parse_spec, split_list
from benchmark.training import Recipe


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Evaluation(_Section):
    """How attacks are run and scored.

    Attributes:
        eot: passes that the gradients of a randomised model are averaged over.
        passes: passes that the retrieval outcomes of a randomised model are averaged over.
    """

    eot: PositiveInt = 5
    passes: PositiveInt = 20


class Curve(_Section):
    """Attacks that are also run at other budgets, for the figure over eps.

    Attributes:
        attacks: specs of the attacks.
        factors: the other budgets, in units of the data set's headline eps.
    """

    attacks: list[str] = []
    factors: list[PositiveFloat] = []


class Configuration(_Section):
    """Everything that decides what a run computes and where it goes; lists hold spec strings.

    Attributes:
        norm: norms of the attacks' balls.
        eps: budgets; each data set's headline when not given. Only with one norm.
        compute: compute modes, each with tables of its own. "equal-epochs": every defense trains for the
            recipe's epochs; "equal-passes": for as many as it takes to spend the budget.
        budget: cost units of a training under equal passes, for each training image and epoch of the recipe
            (vanilla spends 3 in one epoch, PGD-AT with 3 inner steps 9).
        checks: whether the checks for gradient masking are run.
        training: the recipe.
        training_for: other values of some of its keys for some data sets, by their name.
        workers: worker processes; one for each core when not given.
        save_every: seconds between two saves of a training in hand, from which a run that was killed goes on.
        data_root: folder of the data sets as they were downloaded.
        download: whether data sets that are missing are fetched into it first.
        pretrained: weights that backbones start from, where their own spec does not say: "auto" (those of
            their library for photographs, none for anything else), "imagenet", "none" or a file.
    """

    defenses: list[str]
    attacks: list[str]
    datasets: list[str]
    backbones: list[str]
    losses: list[str]
    scenarios: list[str]
    seeds: list[NonNegativeInt] = Field(min_length=1)
    norm: list[Literal["linf", "l2"]] = Field(default=["linf"], min_length=1)
    eps: list[Number] | None = None
    compute: list[Literal["equal-epochs", "equal-passes"]] = Field(default=["equal-epochs"], min_length=1)
    budget: PositiveFloat = 27.0
    preset: str = "default"
    output: Path = Path("results")
    device: Literal["auto", "cpu", "cuda"] = "auto"
    workers: PositiveInt | None = None
    save_every: NonNegativeFloat = 120.0
    plugin: list[Path] = []
    data_root: Path | None = None
    download: bool = False
    pretrained: str = "auto"
    checks: bool = True
    training: Recipe = Recipe()
    training_for: dict[str, dict[str, Any]] = {}
    evaluation: Evaluation = Evaluation()
    curve: Curve = Curve()

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

    @field_validator("seeds", "eps", "norm", "compute", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        if isinstance(value, str) or (
            isinstance(value, list) and all(isinstance(item, str) for item in value)
        ):
            return split_list(value)
        return [value] if isinstance(value, int | float) else value

    @field_validator("plugin", mode="before")
    @classmethod
    def _several(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @model_validator(mode="after")
    def _budgets_fit(self) -> Any:
        if self.eps and len(self.norm) > 1:
            raise ValueError("eps with two norms: a number means another thing in each; give one norm")
        if self.norm == ["linf"] and max(self.eps or [0.0]) > 1:
            raise ValueError("eps > 1 in the norm linf: pixels are in [0, 1], so write 8/255, not 8")
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
        """The recipe for a data set, by its spec or its name; that of `folder` is for every `folder:PATH`."""
        name = parse_spec(dataset).name
        changes = self.training_for.get(name, self.training_for.get(name.partition(":")[0], {}))
        return Recipe(**{**self.training.model_dump(), **changes})

    @field_validator("norm", "compute")
    @classmethod
    def _each_once(cls, values: list[Any]) -> list[Any]:
        return list(dict.fromkeys(values))

    @field_validator("eps", "seeds")
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
            raise ValueError("an attack needs eps > 0; clean figures are always made")
        return values


def presets() -> list[str]:
    """Names of the presets."""
    folder = resources.files("benchmark.presets")
    return sorted(
        entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml")
    )


def _read_yaml(text: str, name: str) -> dict[str, Any]:
    try:
        values = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise UsageError(f"{name} is not valid YAML{where}: {getattr(error, 'problem', error)}.") from None
    if not isinstance(values, dict):
        raise UsageError(f"{name} must hold keys and values, as in 'defenses: [vanilla, pgd_at]'.")
    return values


def _preset(name: str) -> dict[str, Any]:
    if name not in presets():
        raise unknown_name("preset", name, presets())
    return _read_yaml(
        (resources.files("benchmark.presets") / f"{name}.yaml").read_text(encoding="utf-8"), name
    )


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        merged[key] = _merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def _check_sections(values: Mapping[str, Any]) -> None:
    """Raises UsageError for an unknown key within a section, such as `training`."""
    sections: dict[str, type[BaseModel]] = {"training": Recipe, "evaluation": Evaluation, "curve": Curve}
    for name, section in sections.items():
        given = values.get(name)
        for key in given if isinstance(given, dict) else ():
            if key not in section.model_fields:
                raise unknown_name(f"key in {name}", str(key), section.model_fields)


def resolve(arguments: Mapping[str, Any], file: Path | None = None) -> Configuration:
    """Puts the configuration together: the arguments over the file over the preset.

    Args:
        arguments: what the command line gave; keys as in `Configuration`.
        file: a YAML file with the same keys.

    Raises:
        UsageError: for a missing file, an unknown key or preset, or a value that does not fit.
    """
    from_file: dict[str, Any] = {}
    if file is not None:
        try:
            from_file = _read_yaml(file.read_text(encoding="utf-8"), str(file))
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not a text file"
            raise UsageError(f"The configuration {file} cannot be read: {reason}.") from None
        for key in from_file:
            if key not in Configuration.model_fields:
                raise unknown_name(f"key in {file}", str(key), Configuration.model_fields)
        from_file = {key: value for key, value in from_file.items() if value is not None}
    asked = _merge(from_file, arguments)
    _check_sections(asked)
    preset = _preset(str(asked.get("preset", "default")))
    # What the user says of training holds for every data set.
    said = asked.get("training")
    for changes in preset.get("training_for", {}).values():
        for key in said if isinstance(said, dict) else ():
            changes.pop(key, None)
    # The preset's figure over eps belongs to the preset's own attacks and budgets.
    if {"attacks", "eps"} & asked.keys():
        preset.pop("curve", None)
    try:
        return Configuration(**_merge(preset, asked))
    except ValidationError as error:
        raise UsageError(explain(error)) from None
