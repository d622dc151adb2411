"""Builds a configuration from a preset, then a file, then the command line."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from benchmark.core.errors import UsageError, unknown_name
from benchmark.core.parameters import explain
from benchmark.planning.config import Configuration, Curve, Evaluation
from benchmark.planning.yaml_file import read_yaml
from benchmark.training import Recipe

_SECTIONS: dict[str, type[BaseModel]] = {"training": Recipe, "evaluation": Evaluation, "curve": Curve}
"""The keys that hold keys of their own."""


def presets() -> list[str]:
    """Names of the presets."""
    folder = resources.files("benchmark.presets")
    return sorted(
        entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml")
    )


def _preset(name: str) -> dict[str, Any]:
    if name not in presets():
        raise unknown_name("preset", name, presets())
    return read_yaml(
        (resources.files("benchmark.presets") / f"{name}.yaml").read_text(encoding="utf-8"), name
    )


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        merged[key] = _merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def _check_booleans(values: Mapping[str, Any], model: type[BaseModel], where: str = "") -> None:
    """Rejects true and false where a number or a name is needed: Python would take them for 1 and 0.

    Raises:
        UsageError: for the first such value.
    """
    for key, value in values.items():
        field = model.model_fields.get(key)
        if field is None or field.annotation is bool:
            continue
        if isinstance(value, dict) and key in _SECTIONS:
            _check_booleans(value, _SECTIONS[key], f"{key}: ")
        items = value if isinstance(value, list) else [value]
        if wrong := [item for item in items if isinstance(item, bool)]:
            raise UsageError(
                f"{where}{key}: {str(wrong[0]).lower()} is neither a number nor a name; YAML also reads yes, "
                "no, on and off as true and false, unless they are in quotes."
            )


def _dict(value: Any) -> dict[str, Any]:
    """The value, if it is a dictionary; other values are refused where they are validated."""
    return value if isinstance(value, dict) else {}


def _check_sections(values: Mapping[str, Any]) -> None:
    """Raises UsageError for an unknown key within a section, such as `training`."""
    for name, section in _SECTIONS.items():
        given = values.get(name)
        for key in given if isinstance(given, dict) else ():
            if key not in section.model_fields:
                raise unknown_name(f"key in {name}", str(key), section.model_fields)


_OF_TRAININGS = ("backbones", "losses", "compute", "budget", "pretrained", "training", "training_for")
"""Keys that have no effect where nothing is trained."""


def _check_alone(asked: Mapping[str, Any]) -> None:
    """Raises UsageError for a key that is about trainings, in a run of own models alone."""
    idle = [key for key in _OF_TRAININGS if key in asked]
    if idle:
        raise UsageError(
            f"'{idle[0]}' has no effect: own models are not trained. Leave it out, or give --defenses too."
        )


def resolve(arguments: Mapping[str, Any], file: Path | None = None) -> Configuration:
    """Merges preset, file and arguments into a configuration; each overrides the one before.

    Args:
        arguments: the options of the command line; keys as in `Configuration`.
        file: a YAML file with the same keys.

    Raises:
        UsageError: for a missing file, an unknown key or preset, or a value that does not fit.
    """
    from_file: dict[str, Any] = {}
    if file is not None:
        try:
            from_file = read_yaml(file.read_text(encoding="utf-8"), str(file))
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not a text file"
            raise UsageError(f"The configuration {file} cannot be read: {reason}.") from None
        for key in from_file:
            if key not in Configuration.model_fields:
                raise unknown_name(f"key in {file}", str(key), Configuration.model_fields)
        from_file = {key: value for key, value in from_file.items() if value is not None}
    _check_booleans(from_file, Configuration)
    for name, changes in _dict(from_file.get("training_for")).items():
        _check_booleans(_dict(changes), Recipe, f"training_for: {name}: ")
    asked = _merge(from_file, arguments)
    _check_sections(asked)
    preset = _preset(str(asked.get("preset", "default")))
    # The user's own training options hold for every data set.
    given = asked.get("training")
    for changes in preset.get("training_for", {}).values():
        for key in given if isinstance(given, dict) else ():
            changes.pop(key, None)
    if asked.get("models") and "defenses" not in asked:
        _check_alone(asked)
        preset.pop("defenses", None)
    # The preset's plot over eps belongs to the preset's own attacks and budgets.
    if {"attacks", "eps"} & asked.keys():
        preset.pop("curve", None)
    try:
        return Configuration(**_merge(preset, asked))
    except ValidationError as error:
        raise UsageError(explain(error)) from None
