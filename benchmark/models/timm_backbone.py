"""Any architecture of timm, by its name there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import timm
from torch import nn

from benchmark.core.errors import BenchmarkError, UsageError, did_you_mean
from benchmark.models.backbone import Backbone
from benchmark.models.library_backbone import (
    ALTERNATIVES,
    ArchitectureInfo,
    LibraryBackbone,
    weights_unavailable,
)

_TIMEOUT = 10.0  # seconds that the hub has to answer
_HUB_FILES = (
    "model.safetensors",
    "pytorch_model.bin",
)  # timm's names for them; the first that exists is used


class TimmBackbone(LibraryBackbone):
    """An architecture of timm with its classifier replaced by a linear layer to the embedding."""

    def info(self) -> ArchitectureInfo:
        """Return timm's description of the architecture."""
        settings = _settings(self.name)
        classifier = settings.classifier or ()
        return ArchitectureInfo(
            mean=tuple(settings.mean),
            std=tuple(settings.std),
            classifier=(classifier,) if isinstance(classifier, str) else tuple(classifier),
            images="images of " + "x".join(map(str, settings.input_size)),
        )

    def random_body(self) -> nn.Module:
        """Build a new network up to its pooled features.

        Raises:
            UsageError: when timm cannot build it.
        """
        try:
            return timm.create_model(self.name, pretrained=False, in_chans=3, num_classes=0)
        except Exception as error:  # timm raises many types; all mean the same to the user
            raise UsageError(f"timm cannot build '{self.name}': {error}") from None

    def library_body(self) -> nn.Module:
        """Build the same network with timm's weights.

        Raises:
            UsageError: when timm has none.
            BenchmarkError: when they are not available, or not for every layer.
        """
        source = self.library_weights()
        settings = _settings(self.name)
        try:
            overlay = {"file": str(_from_hub(settings)), "custom_load": False} if settings.hf_hub_id else {}
            with _missing_keys() as missing:
                body: nn.Module = timm.create_model(
                    self.name, pretrained=True, in_chans=3, num_classes=0, pretrained_cfg_overlay=overlay
                )
        except Exception as error:  # timm and its hub raise many types
            raise weights_unavailable(self.name, error) from None
        if missing:
            raise BenchmarkError(
                f"The pretrained weights of '{self.name}' are incomplete: {overlay.get('file', source)} has "
                f"no '{missing[0]}'. Delete that file if it is damaged, to download it again, or "
                f"choose: {ALTERNATIVES}."
            )
        return body

    def library_weights(self) -> str:
        """Return the source of timm's weights: a repository of its hub, or an address.

        Raises:
            UsageError: when timm has none.
        """
        settings = _settings(self.name)
        if not settings.has_weights:
            raise UsageError(f"timm has no pretrained weights of '{self.name}'. Choose: {ALTERNATIVES}.")
        return f"timm:{settings.hf_hub_id or settings.url}"


def _settings(name: str) -> Any:
    """Return timm's settings for the weights of an architecture, None when it has no such name or tag."""
    try:
        return timm.get_pretrained_cfg(name) if timm.is_model(name) else None
    except RuntimeError:  # the architecture exists, but not the tag
        return None


def is_timm_name(name: str) -> bool:
    """Whether timm has an architecture of that name, with or without the tag of its weights."""
    return _settings(name) is not None


@contextmanager
def _missing_keys() -> Iterator[list[str]]:
    """Record the keys of weights that are missing when networks are loaded within the block.

    Without a classifier, timm loads the keys that exist, leaves the others random, and does not report them;
    which keys it needs is known only after its own filter has renamed those of the file.
    """
    missing: list[str] = []
    real = nn.Module.load_state_dict

    def watched(
        self: nn.Module, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> Any:
        result = real(self, state_dict, strict, assign)
        missing.extend(result.missing_keys)
        return result

    nn.Module.load_state_dict = watched  # type: ignore[method-assign]
    try:
        yield missing
    finally:
        nn.Module.load_state_dict = real  # type: ignore[method-assign]


def _from_hub(settings: Any) -> Path:
    """Return the weights file of a repository of timm's hub, from the hub's cache or downloaded into it.

    timm's own code contacts the hub for every network, and without a connection retries for most of a minute.
    Here a cached file is used as it is, and the hub is contacted once.
    """
    from huggingface_hub import get_session, hf_hub_download, hf_hub_url, try_to_load_from_cache

    repository, _, version = settings.hf_hub_id.partition("@")
    revision = version or None
    names = (settings.hf_hub_filename,) if settings.hf_hub_filename else _HUB_FILES
    for name in names:
        cached = try_to_load_from_cache(repository, name, revision=revision)
        if isinstance(cached, str):
            return Path(cached)
    for name in names:
        address = hf_hub_url(repository, name, revision=revision)
        answer = get_session().head(address, timeout=_TIMEOUT)
        if answer.status_code < 400:
            return Path(hf_hub_download(repository, name, revision=revision))
    raise FileNotFoundError(f"{address} answers {answer.status_code}")


@cache
def timm_backbone(name: str, own: tuple[str, ...]) -> type[Backbone]:
    """Return the class of one timm architecture.

    Args:
        name: timm's name for it, with or without the tag of its weights.
        own: the registered names, for the message.

    Raises:
        UsageError: when timm has no such architecture.
    """
    if _settings(name) is None:
        every = [*own, *timm.list_models()]
        hint = did_you_mean(name, every)
        raise UsageError(
            f"Unknown backbone '{name}'.{hint} Valid: {', '.join(own)}, and any name of timm.list_models()."
        )
    return type(
        f"Timm_{name}",
        (TimmBackbone,),
        {"name": name, "__module__": __name__, "__doc__": TimmBackbone.__doc__},
    )
