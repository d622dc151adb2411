"""The base class of all named components: validated parameters, and a canonical spec string."""

from __future__ import annotations

import inspect
import os.path
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from pathlib import Path
from types import MappingProxyType, NoneType, UnionType
from typing import Annotated, Any, ClassVar, Union, get_args, get_origin

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationError

from benchmark.core.errors import UsageError, unknown_name
from benchmark.core.files import content_digest, expand_home
from benchmark.core.spec import Spec, format_spec, format_value, parse_list


def parse_fraction(value: Any) -> Any:
    """Convert a fraction such as `8/255` to a float; return any other value unchanged."""
    if isinstance(value, str) and value.count("/") == 1:
        numerator, denominator = value.split("/")
        try:
            return float(numerator) / float(denominator)
        except (ValueError, ZeroDivisionError):
            return value
    return value


Number = Annotated[float, BeforeValidator(parse_fraction)]
"""A float that may be written as a fraction, as eps is: `8/255`."""


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(expand_home(path)))  # noqa: PTH100 (a link keeps its own name)


_IS_FILE = AfterValidator(_absolute)

File = Annotated[Path, _IS_FILE]
"""A file that a component reads, given relative to the working directory, absolute or from `~`.

Identities and seeds hold its content in place of its path, and readers see its name.
"""


class Parameters(BaseModel):
    """Immutable, validated parameters; subclasses declare each as an annotated field with a default.

    The key of a parameter in a spec string is the name of its field, or the field's alias where it has one
    (for a key such as `name` that is an attribute of every class). In Python both are accepted.

    Attributes:
        name: the name under which the class is registered.
        always_written: keys that stand in the spec string even at their default, because a reader of a table
            needs them.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False, populate_by_name=True
    )

    name: ClassVar[str] = ""
    always_written: ClassVar[tuple[str, ...]] = ()

    def __setattr__(self, name: str, value: Any) -> None:
        """Refuse to change what a spec says, and state that a resumed run would lack.

        Raises:
            AttributeError: for anything but declared private attributes.
        """
        try:
            if name.startswith("_") and name not in self.__private_attributes__:
                raise TypeError(name)
            super().__setattr__(name, value)
        except (ValidationError, TypeError):
            raise AttributeError(
                f"self.{name} cannot be set: a {type(self).__name__} is constant. Keep state in a module's "
                "parameters and buffers, or in local variables."
            ) from None

    @classmethod
    @cache
    def attributes(cls) -> Mapping[str, str]:
        """The attribute that holds each parameter, by the parameter's key in a spec string."""
        fields = cls.model_fields.items()
        return MappingProxyType({info.alias or attribute: attribute for attribute, info in fields})

    @classmethod
    def defaults(cls) -> dict[str, Any]:
        """The default of each parameter, by the parameter's key in a spec string."""
        return {key: cls.model_fields[attribute].default for key, attribute in cls.attributes().items()}

    @classmethod
    def from_spec(cls, spec: Spec) -> Any:
        """Build an instance from a parsed spec.

        Raises:
            UsageError: for an unknown parameter or a value that does not fit, in one line.
        """
        attributes = cls.attributes()
        values: dict[str, Any] = {}
        for key, text in spec.parameters.items():
            if key not in attributes:
                raise unknown_name(f"parameter of {spec.name}", key, attributes)
            values[key] = _read(text, cls.model_fields[attributes[key]].annotation)
        try:
            return cls(**values)
        except ValidationError as error:
            raise UsageError(f"{spec.name}: {explain(error)}") from None

    @property
    def spec(self) -> str:
        """The canonical spec string: the name and those parameters that differ from their defaults."""
        return format_spec(self.name, self._changed())

    @property
    def portable(self) -> str:
        """The spec without what differs from machine to machine, such as paths; seeds are derived from it.

        Raises:
            UsageError: when a file that a parameter names is missing or cannot be read.
        """
        return format_spec(self.name, self.portable_values())

    @property
    def short_name(self) -> str:
        """What tables, plots and file names show in place of the spec; never a path of the machine."""
        return format_spec(self.name, self.shown_values())

    def given(self) -> dict[str, Any]:
        """The parameters that were given, at their default or not, by their attribute."""
        return {attribute: getattr(self, attribute) for attribute in sorted(self.model_fields_set)}

    def files(self) -> list[Path]:
        """The files that the parameters of type `File` name, absolute."""
        return [path for key in _file_keys(type(self)) for path in _paths(self._value(key))]

    def portable_values(self) -> dict[str, Any]:
        """The parameters in the spec string by their keys, with the content's hash in place of each file.

        The same holds for the files of `parts` whose spec is the value of a parameter.

        Raises:
            UsageError: when a file is missing or cannot be read.
        """
        return self._replaced(self._digest, lambda part: part.portable)

    def shown_values(self) -> dict[str, Any]:
        """The parameters in the spec string by their keys, with the name in place of each file's path."""
        return self._replaced(lambda _, path: path.name, lambda part: part.short_name)

    def _digest(self, key: str, path: Path) -> str:
        try:
            return content_digest(path)
        except FileNotFoundError:
            reason = "there is no such file"
        except OSError as error:
            reason = f"it cannot be read ({error.strerror})"
        raise UsageError(f"{self.name}: {key}={str(path)!r}: {reason}.")

    def _replaced(
        self, file: Callable[[str, Path], str], part: Callable[[Parameters], str]
    ) -> dict[str, Any]:
        """The parameters in the spec string, with other text for each file and for the spec of each part."""
        files, parts = _file_keys(type(self)), {one.spec: one for one in self.parts() if one is not self}
        values = self._changed()
        for key, value in values.items():
            if key in files:
                values[key] = _each_path(value, partial(file, key))
            elif isinstance(value, str) and value in parts:
                values[key] = part(parts[value])
        return values

    def _value(self, key: str) -> Any:
        return getattr(self, type(self).attributes()[key])

    def _changed(self) -> dict[str, Any]:
        """The parameters that stand in the spec string, by their keys."""
        files, defaults = _file_keys(type(self)), type(self).defaults()
        changed = {}
        for key, default in defaults.items():
            value = self._value(key)
            if value is default and key not in self.always_written:
                continue
            read = _each_path(default, lambda path: _absolute(Path(path))) if key in files else default
            # Compared as written: a value that would be read back as the default is the default.
            if key in self.always_written or format_value(value) != format_value(read):
                changed[key] = value
        return changed

    def parts(self) -> list[Parameters]:
        """This object and everything that it refers to by name; their sources are part of an identity."""
        return [self]

    def modules(self) -> tuple[str, ...]:
        """Names of imported modules, besides that of the class, whose code this object runs."""
        return ()

    @classmethod
    def summary(cls) -> str:
        """The first line of the class's docstring."""
        return (inspect.getdoc(cls) or "").split("\n", 1)[0]


def _types(annotation: Any) -> list[Any]:
    """The types that a field accepts, stripped of `Annotated`."""
    types = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else [annotation]
    return [get_args(one)[0] if get_origin(one) is Annotated else one for one in types]


def _read(text: str, annotation: Any) -> Any:
    """Read the text of a value: none, a list in brackets and a fraction, where the field accepts these."""
    types = _types(annotation)
    if text == "none" and NoneType in types:
        return None
    for one in types:
        if get_origin(one) in (list, tuple) and (items := parse_list(text)) is not None:
            fraction = any(float in _types(item) for item in get_args(one))
            return [parse_fraction(item) if fraction else item for item in items]
    return parse_fraction(text) if float in types else text


@cache
def _file_keys(cls: type[Parameters]) -> tuple[str, ...]:
    """The keys of the parameters that are of type `File`, may be one, or hold several."""
    attributes = cls.attributes()
    fields = {key: cls.model_fields[attribute] for key, attribute in attributes.items()}
    return tuple(
        key for key, info in fields.items() if _IS_FILE in info.metadata or _mentions_files(info.annotation)
    )


def _mentions_files(annotation: Any) -> bool:
    if get_origin(annotation) is Annotated and _IS_FILE in annotation.__metadata__:
        return True
    return any(_mentions_files(part) for part in get_args(annotation))


def _paths(value: Any) -> Iterator[Path]:
    if isinstance(value, list | tuple):
        for item in value:
            yield from _paths(item)
    elif value is not None:
        yield value


def _each_path(value: Any, change: Callable[[Path], Any]) -> Any:
    """Change the paths in the value of a parameter of files, which may be none or a list."""
    if isinstance(value, list | tuple):
        return [_each_path(item, change) for item in value]
    return None if value is None else change(value)


def explain(error: ValidationError) -> str:
    """Format a pydantic error as one line: each field, the value given, and what is wrong with it."""
    parts = []
    for item in error.errors():
        where = ".".join(str(part) for part in item["loc"])
        message = item["msg"].removeprefix("Value error, ").rstrip(".")
        message = message[:1].lower() + message[1:]
        parts.append(f"{where}={item['input']!r}: {message}" if where else message)
    return "; ".join(parts) + "."
