"""Own models that a Python function builds."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, cached_property
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

from torch import nn

from benchmark.core.errors import BenchmarkError, UsageError
from benchmark.core.files import expand_home
from benchmark.core.own_line import INSTALLED
from benchmark.core.seeding import seed_everything, unchanged_generators
from benchmark.core.spec import Spec
from benchmark.models.own.base import OwnModel, own_model_kind
from benchmark.models.own.modules_behind import FunctionModule

_CALL = "call."
"""Prefix of a parameter that goes to the function although an option has the same name."""

_DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


def as_network(made: Any, where: str) -> nn.Module:
    """Makes a module of what a user hands over.

    Raises:
        UsageError: when it cannot be called; the message begins with `where`.
    """
    if isinstance(made, nn.Module):
        return made
    if callable(made):
        return FunctionModule(made)
    raise UsageError(
        f"{where} a {type(made).__name__}, not a network: give one torch.nn.Module, or a function from "
        "images (n, C, H, W) to vectors (n, d)."
    )


class PythonEntry(OwnModel):
    """A Python function that returns a network, or the network itself: `my_file.py:make_model`.

    Parameters that are no options of every own model are passed to the function by name, as numbers, `true`,
    `false`, `none` or text; `call.NAME=` passes one that has an option's name. Random numbers are seeded
    before the call.

    Attributes:
        arguments: what the function is called with, as written.
    """

    title: ClassVar[str] = "Python function"
    arguments: tuple[tuple[str, str], ...] = ()

    @classmethod
    def from_spec(cls, spec: Spec) -> Any:
        """Build the model's description; parameters that are no options are the function's."""
        options = {key for key in cls.attributes() if key != "arguments"}
        own = {key: value for key, value in spec.parameters.items() if key in options}
        rest = {key: value for key, value in spec.parameters.items() if key not in options}
        built = super().from_spec(Spec(spec.name, own))
        return built.model_copy(update={"arguments": tuple(sorted(rest.items()))})

    def _changed(self) -> dict[str, Any]:
        changed = super()._changed()
        changed.pop("arguments", None)
        return {**changed, **dict(self.arguments)}

    def base_name(self) -> str:
        """The file's and the function's name, without folders."""
        place, _, attribute = self.name.rpartition(":")
        return f"{Path(place).name if _is_file(place) else place}:{attribute}"

    def modules(self) -> tuple[str, ...]:
        """Names of the imported modules that hold the function's code."""
        module, function = self._found
        home = getattr(function, "__module__", None) or type(function).__module__
        if home == module.__name__ or home not in sys.modules or _is_library(home, module.__name__):
            return (module.__name__,)
        return module.__name__, home

    def network(self) -> nn.Module:
        """Call the function, or take the network.

        Raises:
            UsageError: when it cannot be imported, fails, or returns something that cannot be called.
        """
        _, found = self._found
        if isinstance(found, nn.Module):
            return found
        arguments = {key.removeprefix(_CALL): _value(text) for key, text in self.arguments}
        self._check_arguments(found, arguments)
        with self._importing(), unchanged_generators():
            seed_everything("own model")
            try:
                made = found(**arguments)
            except BenchmarkError:
                raise
            except (Exception, SystemExit) as error:  # a user's function may fail in any way
                raise UsageError(f"{self.base_name()} fails: {_explain(error, self._file)}") from None
        return as_network(made, f"{self.base_name()} returns")

    def _check_arguments(self, function: Callable[..., Any], arguments: dict[str, Any]) -> None:
        try:
            signature = inspect.signature(function)
        except (TypeError, ValueError):  # of a builtin
            return
        try:
            signature.bind(**arguments)
        except TypeError as error:
            options = ", ".join(key for key in self.attributes() if key != "arguments")
            raise UsageError(
                f"{self.base_name()}{signature} cannot be called with {arguments or 'no arguments'}: "
                f"{error}. Options of every model: {options}."
            ) from None

    @property
    def _file(self) -> Path | None:
        place = self.name.rpartition(":")[0]
        return expand_home(Path(place)).absolute() if _is_file(place) else None

    @cached_property
    def _found(self) -> tuple[ModuleType, Any]:
        """The module, and what the name stands for in it.

        Raises:
            UsageError: when there is no such file, module or attribute, or importing it fails.
        """
        place, _, attribute = self.name.rpartition(":")
        with self._importing(), unchanged_generators():
            seed_everything("own model")  # of a network that the module itself makes
            module = self._import(place)
        found: Any = module
        for part in attribute.split("."):
            if not hasattr(found, part):
                raise UsageError(f"{Path(place).name} has no '{attribute}' to make a model with.")
            found = getattr(found, part)
        if not callable(found):
            kind = type(found).__name__
            raise UsageError(f"{self.base_name()} is of type {kind}, not a function or a network.")
        return module, found

    def _import(self, place: str) -> ModuleType:
        file = self._file
        try:
            if file is None:
                return importlib.import_module(place)
            if not file.is_file():
                raise UsageError(f"There is no file {file} to take a model from.")
            return _import_file(file)
        except UsageError:
            raise
        except ModuleNotFoundError as error:
            if file is None and error.name and place.startswith(error.name):
                raise UsageError(
                    f"There is no module '{place}'. Install it, or give a file, as in my_file.py:make_model."
                ) from None
            raise UsageError(f"{file or place} does not import: {_explain(error, file)}") from None
        except (Exception, SystemExit) as error:  # a user's file may fail in any way
            raise UsageError(f"{file or place} does not import: {_explain(error, file)}") from None

    @contextmanager
    def _importing(self) -> Iterator[None]:
        """Lets the code import files beside its own, as when it is run as a script; libraries come first."""
        folder = str(self._file.parent) if self._file is not None else str(Path.cwd())
        sys.path.append(folder)
        try:
            yield
        finally:
            sys.path.remove(folder)


def _import_file(file: Path) -> ModuleType:
    name = (
        f"own_{re.sub(r'[^A-Za-z0-9_]', '_', file.stem)}_{hashlib.sha256(str(file).encode()).hexdigest()[:8]}"
    )
    if name in sys.modules:
        return sys.modules[name]
    specification = importlib.util.spec_from_file_location(name, file)
    if specification is None or specification.loader is None:
        raise UsageError(f"{file} is not a Python file.")
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module
    try:
        specification.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _explain(error: BaseException, file: Path | None) -> str:
    """Describes an error in a clause, with the last line of the user's file that it passed."""
    line, trace = getattr(error, "lineno", None), error.__traceback__
    while trace:
        if file is not None and trace.tb_frame.f_code.co_filename == str(file):
            line = trace.tb_lineno
        trace = trace.tb_next
    where = f" (line {line})" if line else ""
    return (
        f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}{where}"
    )


def _value(text: str) -> Any:
    """Reads an argument as a number, true, false or none; else as text."""
    words: dict[str, Any] = {"true": True, "false": False, "none": None}
    if text.lower() in words:
        return words[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:  # noqa: PERF203
            continue
    return text


def _is_library(home: str, module: str) -> bool:
    """Whether a class is from another installed package, such as torch, which no identity follows."""
    origin = getattr(sys.modules[home], "__file__", None) or ""
    installed = not set(INSTALLED).isdisjoint(Path(origin).parts)
    return home.split(".")[0] != module.split(".")[0] and (installed or not origin)


def _is_file(place: str) -> bool:
    return place.endswith(".py") or "/" in place


@own_model_kind
def _find(name: str) -> type[OwnModel] | None:
    place, colon, attribute = name.rpartition(":")
    if not colon or not _DOTTED.fullmatch(attribute) or not (_is_file(place) or _DOTTED.fullmatch(place)):
        return None
    return _kind(_canonical(place, attribute))  # not by the name, which may be relative to another folder


@cache
def _kind(name: str) -> type[OwnModel]:
    return type(
        "PythonEntryOf",
        (PythonEntry,),
        {"name": name, "__module__": __name__, "__doc__": PythonEntry.__doc__},
    )


def _canonical(place: str, attribute: str) -> str:
    return f"{expand_home(Path(place)).absolute() if _is_file(place) else place}:{attribute}"
