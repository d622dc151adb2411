"""Loads plugins: files of the user, and installed packages, that register defenses, attacks and more."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from collections.abc import Iterable
from functools import cache
from importlib import metadata
from pathlib import Path

from pydantic import ValidationError

from attacks import Attack, Measure, Objective
from benchmark.core.errors import UsageError
from benchmark.core.own_line import OwnLine, own_line
from benchmark.core.parameters import Parameters, explain
from benchmark.data import Dataset
from benchmark.evaluation import Scenario
from benchmark.evaluation.masking_check import MaskingCheck
from benchmark.losses import Loss
from benchmark.models import Backbone
from benchmark.plugins.registries import REGISTRIES
from defenses import Defense
from defenses.transforms.base import Transform

GROUPS = ("dml_benchmark.defenses", "dml_benchmark.attacks", "dml_benchmark.datasets")
"""Entry point groups of installed packages; each entry point names a module, which registers what it has."""

_METHODS: dict[type[Parameters], tuple[str, ...]] = {
    Defense: ("loss", "build"),
    Transform: ("apply",),
    Attack: ("perturb",),
    Measure: ("targets", "scores"),
    Objective: ("bind",),
    Dataset: ("read", "fingerprint"),
    Backbone: ("build", "build_random"),
    Loss: ("build",),
    Scenario: ("score",),
    MaskingCheck: ("compare",),
}
"""The methods of each kind that the benchmark calls; a class must implement the first."""


def _checked(mine: list[type[Parameters]]) -> list[type[Parameters]]:
    """Checks the classes that a plugin registered, and returns them.

    Raises:
        UsageError: when there is none, or one lacks a default or a method that it needs, or a method takes
            other arguments than it is called with.
    """
    if not mine:
        raise UsageError("it registers nothing. Put @DEFENSES.register('name') above its class.")
    for cls in mine:
        required = [name for name, info in cls.model_fields.items() if info.is_required()]
        if required:
            raise UsageError(f"'{cls.name}' needs a default for its parameter '{required[0]}'.")
        try:
            cls()
        except ValidationError as error:
            raise UsageError(f"a default of '{cls.name}' does not fit: {explain(error)}") from None
        for base, (first, *others) in _METHODS.items():
            if not issubclass(cls, base):
                continue
            if getattr(cls, first) is getattr(base, first):
                arguments = ", ".join(inspect.signature(getattr(base, first)).parameters)
                raise UsageError(f"'{cls.name}' has no method {first}({arguments}).")
            for method in (first, *others):
                _check_arguments(cls, base, method)
    return mine


def _check_arguments(cls: type[Parameters], base: type[Parameters], method: str) -> None:
    """Raises UsageError when a method cannot be called with the arguments of its contract, in their order."""
    wanted = inspect.signature(getattr(base, method)).parameters
    names = list(wanted)
    if issubclass(cls, Defense) and method == "build" and cls.needs:
        names.append("trained")  # the models that the defense needs
    optional = sum(parameter.default is not inspect.Parameter.empty for parameter in wanted.values())
    given = inspect.signature(getattr(cls, method))
    try:
        for count in {len(names) - optional, len(names)}:
            given.bind(*names[:count])
    except TypeError:
        raise UsageError(
            f"{cls.__name__}.{method} takes ({', '.join(given.parameters)}), not ({', '.join(names)})."
        ) from None


def load_plugin(path: Path) -> list[type[Parameters]]:
    """Imports a plugin file, and returns the classes that it registered.

    Raises:
        UsageError: when the file is missing, does not import, registers nothing, or a class that does
            not fit.
    """
    path = path.resolve()
    if not path.is_file():
        raise UsageError(f"There is no plugin file {path}.")
    name = module_name(path)
    loaded = sys.modules.get(name)
    if loaded is not None:
        if loaded.__file__ != str(path):
            raise UsageError(f"Two plugins have the file name {path.name}; rename one.")
        return _registered_by(name)
    specification = importlib.util.spec_from_file_location(name, path)
    if specification is None or specification.loader is None:
        raise UsageError(f"The plugin {path} is not a Python file (its name must end in .py).")
    sys.modules[name] = importlib.util.module_from_spec(specification)
    try:
        specification.loader.exec_module(sys.modules[name])
        return _checked(_registered_by(name))
    except BaseException as error:
        del sys.modules[name]
        _forget(_registered_by(name))
        if isinstance(error, UsageError):
            raise UsageError(f"Plugin {path}: {error}") from None
        if isinstance(error, KeyboardInterrupt):
            raise
        # A user's file may fail in any way; each failure is reported in one line.
        where = _place_in(error, path)
        reason = str(error).split("\n", 1)[0] + _beside(error, path)
        raise UsageError(f"Plugin {path}{where} does not import: {type(error).__name__}: {reason}") from None


def _beside(error: BaseException, path: Path) -> str:
    """Says what to do about a module that was not found, though it lies beside the plugin."""
    if not isinstance(error, ImportError):
        return ""
    if "relative import" in str(error):
        return ". A plugin is a file, not a package: import its neighbors by their names, without dots"
    if not isinstance(error, ModuleNotFoundError) or not error.name:
        return ""
    beside = path.parent / error.name.partition(".")[0]
    if beside.is_dir() or beside.with_suffix(".py").is_file():
        return f". It lies beside the plugin: put that folder on PYTHONPATH (PYTHONPATH={path.parent})"
    return ""


def module_name(path: Path) -> str:
    """The name under which a plugin file is imported."""
    return f"plugin_{path.stem}"


def installed_modules() -> list[str]:
    """Names of the modules that installed packages offer under the entry point groups, if loaded."""
    points = (point for group in GROUPS for point in metadata.entry_points(group=group))
    return sorted({point.module for point in points} & set(sys.modules))


def _registered_by(module: str) -> list[type[Parameters]]:
    return [
        cls for registry in REGISTRIES.values() for _, cls in registry.items() if cls.__module__ == module
    ]


def _forget(classes: list[type[Parameters]]) -> None:
    """Removes the names of classes from their registries."""
    for registry in REGISTRIES.values():
        for registered, cls in registry.items():
            if cls in classes:
                registry.forget(registered)


def _place_in(error: BaseException, path: Path) -> str:
    """The last line of a plugin's own files that led to an error, in brackets; empty when there is none."""
    found = own_line(error, [str(path)])
    if isinstance(error, SyntaxError) and error.lineno and Path(error.filename or "").is_file():
        found = OwnLine(Path(error.filename or ""), error.lineno)
    if found is None:
        return ""
    return f" (line {found.line})" if found.file == path else f" ({found.file.name}, line {found.line})"


def _registered() -> dict[tuple[str, str], type[Parameters]]:
    """Lists all registered classes, by the title of their registry and by name."""
    return {(title, name): cls for title, registry in REGISTRIES.items() for name, cls in registry.items()}


@cache
def load_installed() -> tuple[str, ...]:
    """Imports the entry points of installed packages, once per process.

    A broken package is left out, and its names are then unknown; nothing else is affected.

    Returns:
        For each package left out, the reason in one line.
    """
    # One module may stand in several groups, and one distribution may be found twice on the path.
    found = {
        (point.value, point.dist.name if point.dist else "?"): point
        for group in GROUPS
        for point in metadata.entry_points(group=group)
    }
    left_out = []
    for (value, distribution), point in sorted(found.items()):
        before = _registered()
        try:
            point.load()
            package = point.module.split(".")[0]
            _checked([cls for cls in _registered().values() if cls.__module__.split(".")[0] == package])
        except (Exception, SystemExit) as error:  # another author's package may fail in any way
            for title, name in _registered().keys() - before.keys():
                REGISTRIES[title].forget(name)
            reason = " ".join(str(error).split())
            fault = reason if isinstance(error, UsageError) else f"{type(error).__name__}: {reason}"
            left_out.append(
                f"The installed package {distribution} is left out: its entry point "
                f"'{point.name} = {value}' does not load: {fault.rstrip('.')}."
            )
    return tuple(left_out)


def load_plugins(paths: Iterable[Path]) -> tuple[str, ...]:
    """Imports the entry points of installed packages, and plugin files.

    Returns:
        For each installed package left out, the reason in one line.

    Raises:
        UsageError: when a file does not fit, as in `load_plugin`.
    """
    left_out = load_installed()
    for path in paths:
        load_plugin(path)
    return left_out
