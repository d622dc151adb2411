"""Any architecture of timm, by its name there."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import timm
from torch import nn

from benchmark.core.errors import BenchmarkError, UsageError
from benchmark.models.backbone import Backbone
from benchmark.models.library_backbone import INSTEAD, Facts, LibraryBackbone, unreachable

_TIMEOUT = 10.0  # seconds until the hub must have answered
_HUB_FILES = ("model.safetensors", "pytorch_model.bin")  # as timm names them, the first that there is


class TimmBackbone(LibraryBackbone):
    """An architecture of timm with its classifier replaced by a linear layer to the embedding."""

    def facts(self) -> Facts:
        """What timm says of the architecture."""
        settings = _settings(self.name)
        classifier = settings.classifier or ()
        return Facts(
            mean=tuple(settings.mean),
            std=tuple(settings.std),
            classifier=(classifier,) if isinstance(classifier, str) else tuple(classifier),
            wants="images of " + "x".join(map(str, settings.input_size)),
        )

    def random_body(self) -> nn.Module:
        """A new network up to its pooled features.

        Raises:
            UsageError: when timm cannot build it.
        """
        try:
            return timm.create_model(self.name, pretrained=False, in_chans=3, num_classes=0)
        except Exception as error:  # timm raises many kinds; all mean the same to the user
            raise UsageError(f"timm cannot build '{self.name}': {error}") from None

    def library_body(self) -> nn.Module:
        """The same with timm's weights.

        Raises:
            UsageError: when timm has none.
            BenchmarkError: when they cannot be had, or not for every layer.
        """
        source = self.library_weights()
        settings = _settings(self.name)
        try:
            overlay = {"file": str(_from_hub(settings)), "custom_load": False} if settings.hf_hub_id else {}
            with _missing_keys() as missing:
                body: nn.Module = timm.create_model(
                    self.name, pretrained=True, in_chans=3, num_classes=0, pretrained_cfg_overlay=overlay
                )
        except Exception as error:  # timm and its hub raise many kinds
            raise unreachable(self.name, error) from None
        if missing:
            raise BenchmarkError(
                f"The pretrained weights of '{self.name}' are not whole: {overlay.get('file', source)} has "
                f"no '{missing[0]}'. Delete that file if it is damaged, to have it fetched again, or choose: "
                f"{INSTEAD}."
            )
        return body

    def library_weights(self) -> str:
        """Where timm has the weights from: a repository of its hub, or an address.

        Raises:
            UsageError: when timm has none.
        """
        settings = _settings(self.name)
        if not settings.has_weights:
            raise UsageError(f"timm has no pretrained weights of '{self.name}'. Choose: {INSTEAD}.")
        return f"timm:{settings.hf_hub_id or settings.url}"


def _settings(name: str) -> Any:
    """What timm knows of the weights of an architecture, None when it has no such architecture or weights."""
    try:
        return timm.get_pretrained_cfg(name) if timm.is_model(name) else None
    except RuntimeError:  # there is the architecture, but not the tag
        return None


@contextmanager
def _missing_keys() -> Iterator[list[str]]:
    """The weights that networks loaded within the block were not given.

    Without a classifier timm loads what there is, leaves the rest at random, and keeps what is missing to
    itself; which keys it looks for is known only once its own filter has renamed those of the file.
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
    """The file of weights of a repository of timm's hub, from the cache or fetched into it.

    timm's own way there asks the hub again for every network, and tries for most of a minute without a
    connection. Here a cached file is taken as it is, and the hub has one chance to answer.
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
    """The class of one timm architecture.

    Args:
        name: timm's name for it, with or without the tag of its weights.
        own: the names that are registered here, for the message.

    Raises:
        UsageError: when timm has no such architecture.
    """
    if _settings(name) is None:
        every = [*own, *timm.list_models()]
        near = difflib.get_close_matches(name, every, n=1, cutoff=0.5)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        raise UsageError(
            f"Unknown backbone '{name}'.{hint} Valid: {', '.join(own)}, and any name of timm.list_models()."
        )
    return type(
        f"Timm_{name}",
        (TimmBackbone,),
        {"name": name, "__module__": __name__, "__doc__": TimmBackbone.__doc__},
    )
