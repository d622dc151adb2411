"""The base class of backbones from other libraries: choice of weights, and a new last layer."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from pydantic import Field, PositiveInt, ValidationError, field_validator, model_validator
from torch import nn

from benchmark.core.errors import BenchmarkError, UsageError
from benchmark.core.files import expand_home
from benchmark.core.labels import Label, as_label
from benchmark.core.parameters import explain
from benchmark.core.spec import format_spec
from benchmark.models.backbone import Backbone, BackboneEmbedder
from benchmark.models.embedding_network import EmbeddingNetwork
from benchmark.models.frozen import batch_norms
from benchmark.models.weights_file import SUFFIXES, load_weights, weights_digest

CHOICES = AUTO, IMAGENET, RANDOM = "auto", "imagenet", "none"
"""The values of `pretrained` that are not files."""

ALTERNATIVES = "--pretrained none (random weights) or --pretrained PATH (a file of weights)"
"""What to choose where a library's weights are not available, in words."""


@dataclass(frozen=True)
class ArchitectureInfo:
    """A library's description of an architecture.

    Attributes:
        mean, std: mean and standard deviation of each channel of the images that its weights are made for, in
            units of [0, 1].
        classifier: the modules that weights files contain and bodies do not.
        images: the images that it is made for, in words.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    classifier: tuple[str, ...]
    images: str


def _without_weights(values: dict[str, Any]) -> dict[str, Any]:
    """Leave out the weights and their label."""
    return {key: value for key, value in values.items() if key not in ("pretrained", "name")}


class LibraryBackbone(Backbone):
    """An architecture of another library, its classifier replaced by a linear layer to the embedding.

    Subclasses implement `info`, `random_body`, `library_body` and `library_weights`.

    Attributes:
        dim: dimension of the embedding.
        pretrained: the initial weights. `auto`: the library's own for photographs, random ones for all other
            images; `imagenet`: the library's own; `none`: random; or a file of weights of this architecture
            with the library's keys, `.safetensors`, `.pth` or `.pt`.
        freeze_bn: batch norm keeps its statistics, scale and shift in training, as in Proxy Anchor's recipe;
            only with pretrained weights.
        dropout: probability that a feature before the last layer is dropped in training, in [0, 1).
        label: short name of a file of weights in tables, plots and file names, `name=` in a spec; none uses
            the file's name without its suffix. Seeds and identities do not depend on it.
    """

    dim: PositiveInt = 512
    pretrained: str = AUTO
    freeze_bn: bool = False
    dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    label: Label | None = Field(default=None, alias="name")

    @field_validator("pretrained")
    @classmethod
    def _is_a_choice(cls, value: str) -> str:
        if value in CHOICES:
            return value
        if not value.endswith(SUFFIXES):
            raise ValueError(f"must be auto, imagenet, none or a file ({', '.join(SUFFIXES)})")
        return value

    @field_validator("label")
    @classmethod
    def _is_no_choice(cls, value: str | None) -> str | None:
        if value in CHOICES:
            raise ValueError("has another meaning; choose another name")
        return value

    @model_validator(mode="after")
    def _names_a_file(self) -> LibraryBackbone:
        if self.label is not None and self.pretrained in CHOICES:
            raise ValueError("name is for a file of weights: write pretrained=FILE, or leave out name")
        return self

    @property
    def portable(self) -> str:
        """The spec without the weights and their label; the weights are identified by the fingerprint."""
        return format_spec(self.name, _without_weights(self.portable_values()))

    @property
    def short_name(self) -> str:
        """The spec, with a label in place of the path of a file of weights."""
        if self.pretrained in CHOICES:
            return format_spec(self.name, self.shown_values())
        file = Path(self.pretrained)
        # `imagenet.pth` must not read as the library's own weights.
        name = self.label or as_label(file.name if file.stem in CHOICES else file.stem, "weights")
        return format_spec(self.name, {**_without_weights(self.shown_values()), "pretrained": name})

    def info(self) -> ArchitectureInfo:
        """Return the library's description of the architecture."""
        raise NotImplementedError

    def random_body(self) -> nn.Module:
        """Build a new network with random weights from images, shape (n, 3, H, W), to features, shape (n, f).

        Raises:
            UsageError: when the library cannot build it.
        """
        raise NotImplementedError

    def library_body(self) -> nn.Module:
        """Build the same network with the library's weights, which are downloaded on first use.

        Raises:
            BenchmarkError: when they are not available.
        """
        raise NotImplementedError

    def library_weights(self) -> str:
        """Return the library's own name for its weights, without a connection.

        Raises:
            UsageError: when it has none.
        """
        raise NotImplementedError

    def build(self, image_shape: tuple[int, int, int], natural: bool = False) -> BackboneEmbedder:
        """Build a new embedder for images of shape (C, H, W) with one or three channels.

        Raises:
            UsageError: when the architecture does not accept such images, a file of weights does not fit, or
                batch norm to be frozen does not exist or is not pretrained.
            BenchmarkError: when the library's weights are not available.
        """
        choice = self._choice(natural)
        features = _features(self, image_shape)
        return self._embedder(self._body(choice), features)

    def build_random(self, image_shape: tuple[int, int, int]) -> BackboneEmbedder:
        """Build the same embedder with random weights, to count its cost or to load a checkpoint into it.

        Raises:
            UsageError: when the architecture does not accept images of that shape.
        """
        features = _features(self, image_shape)
        return self._embedder(self.random_body(), features)

    def check(self, image_shape: tuple[int, int, int], natural: bool = False) -> None:
        """Run one image through a network with random weights, once for each shape, and try to load a file.

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
        """Load the library's weights once where they are used, which downloads them on first use.

        Raises:
            BenchmarkError: when they are not available.
        """
        if self._choice(natural) == IMAGENET:
            self._try(IMAGENET)

    def with_pretrained(self, value: str) -> Backbone:
        """Return this backbone with a value of `pretrained`, or itself where its spec gives one.

        Raises:
            UsageError: when `pretrained` does not accept the value.
        """
        if "pretrained" in self.model_fields_set:
            return self
        chosen: dict[str, Any] = {key: getattr(self, key) for key in self.model_fields_set}
        try:
            return type(self)(**chosen, pretrained=value)
        except ValidationError as error:
            raise UsageError(f"{self.name}: {explain(error)}") from None

    def fingerprint(self, natural: bool) -> str:
        """Return the sha256 of a file, or the library's name for its own weights; empty for random ones.

        Raises:
            UsageError: when the file cannot be read, the library has no weights, or batch norm would be
                frozen at random.
        """
        choice = self._choice(natural)
        if choice == RANDOM:
            return ""
        return self.library_weights() if choice == IMAGENET else weights_digest(expand_home(Path(choice)))

    def _choice(self, natural: bool) -> str:
        """`imagenet`, `none`, or a path.

        Raises:
            UsageError: for `none` with frozen batch norm.
        """
        choice = self.pretrained if self.pretrained != AUTO else IMAGENET if natural else RANDOM
        if choice == RANDOM and self.freeze_bn:
            # Libraries initialize the last scale of a residual block to zero: frozen, it blocks the gradient.
            # And statistics that are not the network's own map all images to one point.
            why = (
                ""
                if self.pretrained == RANDOM
                else ", since pretrained=auto uses weights for photographs only,"
            )
            raise UsageError(
                f"The backbone '{self.name}' would start from random weights{why} and cannot learn with "
                "freeze_bn=true: choose freeze_bn=false, or weights (pretrained=imagenet or a file)."
            )
        return choice

    def _body(self, choice: str) -> nn.Module:
        """Build a body with the weights that `_choice` returned."""
        if choice == IMAGENET:
            return self.library_body()
        body = self.random_body()
        if choice != RANDOM:
            load_weights(body, expand_home(Path(choice)), self.info().classifier)
        return body

    def _try(self, choice: str) -> None:
        """Build a body and discard it, without changing the state of the random generator."""
        with torch.random.fork_rng(devices=[]):
            self._body(choice)

    def _embedder(self, body: nn.Module, features: int) -> BackboneEmbedder:
        info = self.info()
        network = EmbeddingNetwork(
            body, features, self.dim, info.mean, info.std, self.dropout, self.freeze_bn
        )
        return BackboneEmbedder(network)


def weights_unavailable(name: str, error: Exception) -> BenchmarkError:
    """Build the error for library weights that cannot be loaded; random ones never replace them silently."""
    reason = f"{type(error).__name__}: {error}".split("\n", 1)[0].rstrip(" .:")
    return BenchmarkError(
        f"The pretrained weights of '{name}' cannot be loaded ({reason}). Connect to the network once, or "
        f"choose: {ALTERNATIVES}."
    )


@lru_cache(maxsize=64)
def _features(backbone: LibraryBackbone, image_shape: tuple[int, int, int]) -> int:
    """Count the features of the body by running one image through it.

    Raises:
        UsageError: when it does not accept the image, or has no batch norm although that is to be frozen.
    """
    channels, height, width = image_shape
    shape = "x".join(map(str, image_shape))
    if channels not in (1, 3):
        raise UsageError(
            f"The backbone '{backbone.name}' cannot take images of {shape}: it needs 1 or 3 channels."
        )
    with (
        torch.random.fork_rng(devices=[]),
        torch.no_grad(),
    ):  # only the first call for a shape draws random numbers
        body = backbone.random_body().eval()
        if backbone.freeze_bn and not batch_norms(body):
            raise UsageError(
                f"The backbone '{backbone.name}' has no batch norm to freeze: leave out freeze_bn=true."
            )
        try:
            output: Any = body(torch.zeros(1, 3, height, width))
        except Exception as error:  # networks of other libraries raise many types
            reason = (str(error).strip() or type(error).__name__).split("\n", 1)[0].rstrip(".")
            raise UsageError(
                f"The backbone '{backbone.name}' cannot take images of {shape}: it is made for "
                f"{backbone.info().images} ({reason})."
            ) from None
    if not isinstance(output, torch.Tensor) or output.ndim != 2:
        raise UsageError(
            f"The backbone '{backbone.name}' has no features of shape (n, f) to compute an embedding from."
        )
    return output.shape[1]
