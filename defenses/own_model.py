"""A model of the user's own in a defense's place: nothing is trained."""

from __future__ import annotations

from functools import cache
from typing import Any

from torch import Tensor

from benchmark.core.embedder import Embedder
from benchmark.core.spec import Spec
from benchmark.models.own import OwnEmbedder, OwnModel, own_model
from defenses.base import DEFENSES, Batch, Defense, InnerMaximiser, MemberFactory


class GivenModel(Defense):
    """Evaluated as it is; nothing is trained."""

    trained = False

    model: OwnModel = OwnModel()

    @classmethod
    def from_spec(cls, spec: Spec) -> Any:
        """Build the entry of a model from the model's own spec."""
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

    def fingerprint(self) -> str:
        """Hash the model's weights and files."""
        return self.model.fingerprint()

    def build(self, make_member: MemberFactory, labels: Tensor) -> OwnEmbedder:
        """Loads the model; members and labels are not used."""
        return self.model.embedder()

    def loss(self, model: Embedder, batch: Batch, attack: InnerMaximiser) -> Tensor:
        """Raises NotImplementedError; never called, since the model is not trained."""
        raise NotImplementedError


@cache
def _find(name: str) -> type[Defense] | None:
    if own_model(name) is None:
        return None
    return type(
        "GivenModelOf", (GivenModel,), {"name": name, "__module__": __name__, "__doc__": GivenModel.__doc__}
    )


DEFENSES.add_fallback(_find)
