"""What the backbones of other libraries have in common: where weights come from, and a new last layer."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from pydantic import Field, PositiveInt, ValidationError, field_validator
from torch import nn

from benchmark.core.errors import BenchmarkError, UsageError
from benchmark.core.parameters import explain
from benchmark.core.spec import format_spec
from benchmark.models.backbone import Backbone, BackboneEmbedder
from benchmark.models.embedding_network import EmbeddingNetwork
from benchmark.models.frozen import batch_norms
from benchmark.models.weights_file import SUFFIXES, load_weights, weights_digest

AUTO, IMAGENET, RANDOM = "auto", "imagenet", "none"

INSTEAD = "--pretrained none (random weights) or --pretrained PATH (a file of weights)"
"""What to choose where a library's weights cannot be had, in words."""


@dataclass(frozen=True)
class Facts:
    """What a library says of an architecture.

    Attributes:
        mean, std: of each channel of the images that its weights are made for, in units of [0, 1].
        classifier: the modules that weights have and bodies have not.
        wants: which images it is made for, in words.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    classifier: tuple[str, ...]
    wants: str


class LibraryBackbone(Backbone):
    """An architecture of another library, its classifier replaced by a linear layer to the embedding.

    Subclasses implement `facts`, `random_body`, `library_body` and `library_weights`.

    Attributes:
        dim: dimension of the embedding.
        pretrained: the weights to start from. `auto`: the library's own for photographs, random ones for
            anything else; `imagenet`: the library's own; `none`: random; or a file of weights of this
            architecture under the library's names, `.safetensors`, `.pth` or `.pt`.
        freeze_bn: batch norm keeps its statistics, scale and shift in training, as Proxy Anchor's recipe has
            it; for pretrained weights alone.
        dropout: probability that a feature before the last layer is left out in training, in [0, 1).
    """

    dim: PositiveInt = 512
    pretrained: str = AUTO
    freeze_bn: bool = False
    dropout: float = Field(default=0.0, ge=0.0, lt=1.0)

    @field_validator("pretrained")
    @classmethod
    def _is_a_choice(cls, value: str) -> str:
        if value in (AUTO, IMAGENET, RANDOM):
            return value
        if not value.endswith(SUFFIXES):
            raise ValueError(f"must be auto, imagenet, none or a file ({', '.join(SUFFIXES)})")
        if set(value) & set("[],"):
            raise ValueError("a file's path must be without comma and square brackets")
        return value

    @property
    def portable(self) -> str:
        """The spec without the weights: which ones they are is the fingerprint's to say."""
        without = {key: value for key, value in self._changed().items() if key != "pretrained"}
        return format_spec(self.name, without)

    def facts(self) -> Facts:
        """What the library says of the architecture."""
        raise NotImplementedError

    def random_body(self) -> nn.Module:
        """A new network with random weights from images, shape (n, 3, H, W), to features, shape (n, f).

        Raises:
            UsageError: when the library cannot build it.
        """
        raise NotImplementedError

    def library_body(self) -> nn.Module:
        """The same with the library's weights, which are fetched on first use.

        Raises:
            BenchmarkError: when they cannot be had.
        """
        raise NotImplementedError

    def library_weights(self) -> str:
        """The library's own name for its weights, without the network.

        Raises:
            UsageError: when it has none.
        """
        raise NotImplementedError

    def build(self, image_shape: tuple[int, int, int], natural: bool = False) -> BackboneEmbedder:
        """A new embedder for images of shape (C, H, W) with one or three channels.

        Raises:
            UsageError: when the architecture cannot take such images, a file of weights does not fit, or
                batch norm is to be frozen that is not there or not pretrained.
            BenchmarkError: when the library's weights cannot be had.
        """
        choice = self._choice(natural)
        features = _features(self, image_shape)
        return self._embedder(self._body(choice), features)

    def build_random(self, image_shape: tuple[int, int, int]) -> BackboneEmbedder:
        """What `build` makes, with random weights: to count its cost, or to load a checkpoint over it.

        Raises:
            UsageError: when the architecture cannot take images of that shape.
        """
        features = _features(self, image_shape)
        return self._embedder(self.random_body(), features)

    def check(self, image_shape: tuple[int, int, int], natural: bool = False) -> None:
        """Passes one image through a network with random weights, once for each shape, and tries a file.

        Raises:
            UsageError: as for `build`, or when the library has no weights.
        """
        choice = self._choice(natural)
        _features(self, image_shape)
        if choice == IMAGENET:
            self.library_weights()
        elif choice != RANDOM:
            self._try(choice)

    def fetch(self, natural: bool = False) -> None:
        """Loads the library's weights once, if they are wanted, which fetches them on first use.

        Raises:
            BenchmarkError: when they cannot be had.
        """
        if self._choice(natural) == IMAGENET:
            self._try(IMAGENET)

    def with_pretrained(self, value: str) -> Backbone:
        """This backbone with another choice of `pretrained`, unless its spec makes one.

        Raises:
            UsageError: when the value is not one that `pretrained` takes.
        """
        if "pretrained" in self.model_fields_set:
            return self
        chosen: dict[str, Any] = {key: getattr(self, key) for key in self.model_fields_set}
        try:
            return type(self)(**chosen, pretrained=value)
        except ValidationError as error:
            raise UsageError(f"{self.name}: {explain(error)}") from None

    def fingerprint(self, natural: bool) -> str:
        """Empty for random weights, the sha256 of a file, or the library's name for its own weights.

        Raises:
            UsageError: when the file cannot be read, the library has no weights, or batch norm would be
                frozen at random.
        """
        choice = self._choice(natural)
        if choice == RANDOM:
            return ""
        return self.library_weights() if choice == IMAGENET else weights_digest(Path(choice).expanduser())

    def _choice(self, natural: bool) -> str:
        """`imagenet`, `none`, or a path.

        Raises:
            UsageError: for `none` with frozen batch norm.
        """
        choice = self.pretrained if self.pretrained != AUTO else IMAGENET if natural else RANDOM
        if choice == RANDOM and self.freeze_bn:
            # Libraries start the last scale of a residual block at zero: frozen, no gradient passes it. And
            # statistics that are no network's own let all images collapse to one point.
            why = (
                ""
                if self.pretrained == RANDOM
                else ", since pretrained=auto means weights for photographs alone,"
            )
            raise UsageError(
                f"The backbone '{self.name}' would start from random weights{why} and cannot learn with "
                "freeze_bn=true: choose freeze_bn=false, or weights (pretrained=imagenet or a file)."
            )
        return choice

    def _body(self, choice: str) -> nn.Module:
        """A new body with the weights of `_choice`."""
        if choice == IMAGENET:
            return self.library_body()
        body = self.random_body()
        if choice != RANDOM:
            load_weights(body, Path(choice).expanduser(), self.facts().classifier)
        return body

    def _try(self, choice: str) -> None:
        """Makes a body and throws it away; what is drawn later stays the same."""
        with torch.random.fork_rng(devices=[]):
            self._body(choice)

    def _embedder(self, body: nn.Module, features: int) -> BackboneEmbedder:
        facts = self.facts()
        network = EmbeddingNetwork(
            body, features, self.dim, facts.mean, facts.std, self.dropout, self.freeze_bn
        )
        return BackboneEmbedder(network)


def unreachable(name: str, error: Exception) -> BenchmarkError:
    """The error for a library's weights that cannot be had: never a random start that nobody asked for."""
    reason = f"{type(error).__name__}: {error}".split("\n", 1)[0].rstrip(" .:")
    return BenchmarkError(
        f"The pretrained weights of '{name}' cannot be fetched ({reason}). Connect to the network once, or "
        f"choose: {INSTEAD}."
    )


@lru_cache(maxsize=64)
def _features(backbone: LibraryBackbone, image_shape: tuple[int, int, int]) -> int:
    """How many features the body has, as one image tells.

    Raises:
        UsageError: when it cannot take the image, or has no batch norm where that is to be frozen.
    """
    channels, height, width = image_shape
    shape = "x".join(map(str, image_shape))
    if channels not in (1, 3):
        raise UsageError(
            f"The backbone '{backbone.name}' cannot take images of {shape}: 1 or 3 channels are wanted."
        )
    with torch.random.fork_rng(devices=[]), torch.no_grad():  # the first look draws, the next ones do not
        body = backbone.random_body().eval()
        if backbone.freeze_bn and not batch_norms(body):
            raise UsageError(
                f"The backbone '{backbone.name}' has no batch norm to freeze: leave out freeze_bn=true."
            )
        try:
            output: Any = body(torch.zeros(1, 3, height, width))
        except Exception as error:  # whatever a network of another library stumbles over
            reason = (str(error).strip() or type(error).__name__).split("\n", 1)[0].rstrip(".")
            raise UsageError(
                f"The backbone '{backbone.name}' cannot take images of {shape}: it is made for "
                f"{backbone.facts().wants} ({reason})."
            ) from None
    if not isinstance(output, torch.Tensor) or output.ndim != 2:
        raise UsageError(f"The backbone '{backbone.name}' has no features that an embedding can be made of.")
    return output.shape[1]
