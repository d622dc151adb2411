"""What stands for an own model in a registry: it is named as the model is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmark.core.parameters import Parameters
from benchmark.core.spec import Spec
from benchmark.models.own.base import OwnModel, own_model


class NamedByModel(Parameters):
    """A backbone or a defense that is an own model, with the model's own spec.

    Attributes:
        model: the model.
    """

    model: OwnModel = OwnModel()

    @classmethod
    def from_spec(cls, spec: Spec) -> Any:
        """Build it from the model's own spec."""
        kind = own_model(spec.name)
        assert kind is not None
        return cls(model=kind.from_spec(spec))

    @property
    def spec(self) -> str:
        """The model's own spec."""
        return self.model.spec

    @property
    def portable(self) -> str:
        """The model's spec without folders and weights."""
        return self.model.portable

    @property
    def short_name(self) -> str:
        """The model's short name."""
        return self.model.short_name

    def modules(self) -> tuple[str, ...]:
        """Names of the modules that hold the model's code."""
        return self.model.modules()

    def files(self) -> list[Path]:
        """The model's files."""
        return self.model.files()
