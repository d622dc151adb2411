"""Own models that are networks of timm, by their name there."""

from __future__ import annotations

from functools import cache
from typing import Any, ClassVar

import torch
from torch import nn

from benchmark.core.errors import BenchmarkError
from benchmark.models.backbone import BACKBONES
from benchmark.models.library_backbone import LibraryBackbone
from benchmark.models.own.base import OwnModel, own_model_kind
from benchmark.models.weights_file import load_weights


class TimmNetwork(OwnModel):
    """A network of timm without its classifier: the pooled features are the embedding.

    Without a weights file it has timm's own weights. Size and normalization are timm's for these weights.
    """

    title: ClassVar[str] = "timm network"

    def base_name(self) -> str:
        """The name in timm."""
        return self.name

    @property
    def side(self) -> int | None:
        """The side that a folder of images is best read at: timm's where the spec does not say."""
        return super().side or self._size()

    def _size(self) -> int:
        return int(self._library().info().images.rsplit("x", 1)[-1])

    def _library(self) -> LibraryBackbone:
        from benchmark.models.timm_backbone import timm_backbone

        found = timm_backbone(self.name, ())()
        assert isinstance(found, LibraryBackbone)
        return found

    def loaded(self) -> tuple[nn.Module, list[str]]:
        """Build the network with its weights.

        Raises:
            UsageError: when the weights file does not fit.
            BenchmarkError: when timm's weights are not available.
        """
        library = self._library()
        if self.weights is None:
            try:
                return library.library_body(), []
            except BenchmarkError as error:
                reason = str(error).split(" Connect to", 1)[0]
                raise BenchmarkError(f"{reason} Give a file: --model {self.name} --weights FILE.") from None
        with torch.random.fork_rng(devices=[]):
            body = library.random_body()
        load_weights(body, self.weights, library.info().classifier)
        return body, []

    def defaults_of(self, network: nn.Module) -> dict[str, Any]:
        """Return timm's image size and normalization for the weights."""
        info = self._library().info()
        return {
            "size": self._size(),
            "channels": 3,
            "mean": f"[{','.join(f'{value:.9g}' for value in info.mean)}]",
            "std": f"[{','.join(f'{value:.9g}' for value in info.std)}]",
        }


def timm_names() -> list[str]:
    """List the names of timm's networks."""
    import timm  # which takes seconds

    return list(timm.list_models())


@own_model_kind
@cache
def _find(name: str) -> type[OwnModel] | None:
    if not name.replace(".", "_").replace("-", "_").isidentifier():
        return None
    if name in BACKBONES.names():
        return None
    # Importing timm takes seconds. Not through the registry, which asks for own models before timm.
    from benchmark.models.timm_backbone import is_timm_name

    if not is_timm_name(name):
        return None
    return type(
        f"TimmNetwork_{name}",
        (TimmNetwork,),
        {"name": name, "__module__": __name__, "__doc__": TimmNetwork.__doc__},
    )
