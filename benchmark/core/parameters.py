"""The base class of all named components: validated parameters, and a canonical spec string."""

from __future__ import annotations

import inspect
from typing import Annotated, Any, ClassVar, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from benchmark.core.errors import UsageError, unknown_name
from benchmark.core.spec import Spec, format_spec, format_value


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

    @classmethod
    def attributes(cls) -> dict[str, str]:
        """The attribute that holds each parameter, by the parameter's key in a spec string."""
        return {info.alias or attribute: attribute for attribute, info in cls.model_fields.items()}

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
            types = _types(cls.model_fields[attributes[key]].annotation)
            optional, fraction = type(None) in types, float in types
            values[key] = None if text == "none" and optional else parse_fraction(text) if fraction else text
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
        """The spec without what differs from machine to machine, such as paths; seeds are derived from it."""
        return self.spec

    @property
    def short_name(self) -> str:
        """What tables, plots and file names show in place of the spec; never a path of the machine."""
        return self.spec

    def _changed(self) -> dict[str, Any]:
        """The parameters that stand in the spec string, by their keys."""
        values = {key: getattr(self, attribute) for key, attribute in type(self).attributes().items()}
        defaults = type(self).defaults()
        return {
            key: value
            for key, value in values.items()
            # Compared as written: a value that would be read back as the default is the default.
            if key in self.always_written or format_value(value) != format_value(defaults[key])
        }

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
    types = get_args(annotation) or [annotation]
    return [get_args(one)[0] if get_origin(one) is Annotated else one for one in types]


def explain(error: ValidationError) -> str:
    """Format a pydantic error as one line: each field, the value given, and what is wrong with it."""
    parts = []
    for item in error.errors():
        where = ".".join(str(part) for part in item["loc"])
        message = item["msg"].removeprefix("Value error, ").rstrip(".")
        message = message[:1].lower() + message[1:]
        parts.append(f"{where}={item['input']!r}: {message}" if where else message)
    return "; ".join(parts) + "."
