"""A model of the user's own in a defense's place: nothing is trained."""

from __future__ import annotations

from functools import cache

from torch import Tensor

from benchmark.core.embedder import Embedder
from benchmark.models.own import OwnEmbedder, own_model
from benchmark.models.own.named_by_model import NamedByModel
from defenses.base import DEFENSES, Batch, Defense, InnerMaximiser, MemberFactory


class GivenModel(NamedByModel, Defense):
    """Evaluated as it is; nothing is trained."""

    trained = False

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
