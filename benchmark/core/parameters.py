"""The base of everything that a user names and sets: validated parameters with a canonical spec string."""

from __future__ import annotations

import inspect
from typing import Annotated, Any, ClassVar, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from benchmark.core.errors import UsageError, unknown_name
from benchmark.core.spec import Spec, format_spec, format_value


def parse_fraction(value: Any) -> Any:
    """Turns `8/255` into a number and leaves anything else for pydantic to judge."""
    if isinstance(value, str) and value.count("/") == 1:
        above, below = value.split("/")
        try:
            return float(above) / float(below)
        except (ValueError, ZeroDivisionError):
            return value
    return value


Number = Annotated[float, BeforeValidator(parse_fraction)]
"""A float that may be written as a fraction, as eps is: `8/255`."""


class Parameters(BaseModel):
    """Immutable, validated parameters; subclasses declare each as an annotated field with a default.

    Attributes:
        name: the name under which the class is registered.
        always_written: parameters that stand in the spec string even at their default, because a reader of a
            table needs them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)

    name: ClassVar[str] = ""
    always_written: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def from_spec(cls, spec: Spec) -> Any:
        """Builds an instance from a parsed spec.

        Raises:
            UsageError: for an unknown parameter or a value that does not fit, in one line.
        """
        for key in spec.parameters:
            if key not in cls.model_fields:
                raise unknown_name(f"parameter of {spec.name}", key, cls.model_fields)
        values: dict[str, Any] = {}
        for key, text in spec.parameters.items():
            kinds = _kinds(cls.model_fields[key].annotation)
            optional, fraction = type(None) in kinds, float in kinds
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
        """The spec without what differs from machine to machine, as paths do: what seeds are made of."""
        return self.spec

    def _changed(self) -> dict[str, Any]:
        """The parameters that stand in the spec string."""
        return {
            key: getattr(self, key)
            for key, info in type(self).model_fields.items()
            # As written: a value that would be read back as the default is the default.
            if key in self.always_written or format_value(getattr(self, key)) != format_value(info.default)
        }

    def parts(self) -> list[Parameters]:
        """This and everything that it is put together from by name; their sources are part of an identity."""
        return [self]

    @classmethod
    def summary(cls) -> str:
        """The first line of the class's docstring."""
        return (inspect.getdoc(cls) or "").split("\n", 1)[0]


def _kinds(annotation: Any) -> list[Any]:
    """The types that a field takes, without what they are annotated with."""
    kinds = get_args(annotation) or [annotation]
    return [get_args(kind)[0] if get_origin(kind) is Annotated else kind for kind in kinds]


def explain(error: ValidationError) -> str:
    """Puts a pydantic error into one line that names each field, what was given and what is wanted."""
    parts = []
    for item in error.errors():
        where = ".".join(str(part) for part in item["loc"])
        message = item["msg"].removeprefix("Value error, ").rstrip(".")
        message = message[:1].lower() + message[1:]
        parts.append(f"{where}={item['input']!r}: {message}" if where else message)
    return "; ".join(parts) + "."
