"""A model of the user's own: its options, and the embedder that is made of it."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, ClassVar

import torch
from pydantic import AfterValidator, Field
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from benchmark.core.errors import UsageError
from benchmark.core.labels import Label
from benchmark.core.parameters import File, Parameters
from benchmark.core.spec import format_spec, with_parameters
from benchmark.models.own.embedder import OwnEmbedder
from benchmark.models.own.modules_behind import FunctionModule, names_of
from benchmark.models.own.preprocess import Channels, Preprocess, channel_values


def _one_or_three(value: int) -> int:
    if value not in (1, 3):
        raise ValueError("must be 1 or 3")
    return value


ChannelCount = Annotated[int, AfterValidator(_one_or_three)]
Side = Annotated[int, Field(ge=1, le=4096)]


class OwnModel(Parameters):
    """A model of the user's own, which is not trained here; subclasses load it.

    Attributes:
        title: what kind of file or code it is, in words.
        gradients: whether gradients may reach the images, which white-box attacks need.
        size: side of the square images that the network takes; others are scaled to it (bilinear,
            antialiased), and a folder of images is read at this size.
        resize: length that the shorter side is scaled to before `crop`.
        crop: side of the central square that is cut out.
        channels: 1 or 3: grey images become three equal channels, colors their luminance.
        mean, std: normalization of the network's images, in units of the range [0, 1]: one number, three as
            in `[0.485,0.456,0.406]`, or `imagenet`, `clip` or `inception`. A network that takes images in
            [0, 255] has `std=0.00392156863`.
        weights: a file of weights to load into the network, `.safetensors` or `.pth` (read as tensors only).
        label: short name in tables, plots and file names, `name=` in a spec.
    """

    title: ClassVar[str] = ""
    gradients: ClassVar[bool] = True

    size: Side | None = None
    resize: Side | None = None
    crop: Side | None = None
    channels: ChannelCount | None = None
    mean: Channels | None = None
    std: Channels | None = None
    weights: File | None = None
    label: Label | None = Field(default=None, alias="name")

    def network(self) -> nn.Module:
        """Load the network, without its weights file.

        Raises:
            UsageError: when it cannot be loaded.
        """
        raise NotImplementedError

    def base_name(self) -> str:
        """The name that readers see where no label is given; it holds no folder."""
        raise NotImplementedError

    def content(self) -> str:
        """Return a hash of the files that the network is read from, besides code and weights."""
        return ""

    def defaults_of(self, network: nn.Module) -> dict[str, Any]:
        """Return the options that the network itself implies, where the spec gives none."""
        return {}

    @property
    def portable(self) -> str:
        """The spec without folders, weights and label; what is left out is identified by its content."""
        return format_spec(f"own:{self.base_name()}", self._settings())

    @property
    def short_name(self) -> str:
        """The label, or the file's or function's own name with the parameters that differ."""
        shown = {key: _without_folder(value) for key, value in self._settings().items()}
        shown |= {"weights": self.weights.name} if self.weights else {}
        return self.label or with_parameters(self.base_name(), shown)

    def _settings(self) -> dict[str, Any]:
        return {key: value for key, value in self._changed().items() if key not in ("weights", "name")}

    @property
    def side(self) -> int | None:
        """The side that a folder of images is best read at; None when the spec does not say."""
        return self.resize or self.size or self.crop

    def embedder(self) -> OwnEmbedder:
        """Load the model as an embedder in evaluation mode, its parameters frozen, in float32.

        Raises:
            UsageError: when it cannot be loaded.
        """
        network, notes = self.loaded()
        embedder = OwnEmbedder(
            network,
            self.preprocess(network),
            self.short_name,
            tuple(notes),
            self.gradients,
            self._fingerprint_of(network),
        )
        return embedder.eval().requires_grad_(False)

    def loaded(self) -> tuple[nn.Module, list[str]]:
        """Load the network and its weights, in float32; and say what was done to it."""
        from benchmark.models.weights_file import load_weights

        network, notes = self.network(), []
        if self.weights is not None:
            network = self.copied(network)
            # A function that calls one network: the file has the network's own keys.
            held = list(network.behind) if isinstance(network, FunctionModule) else []
            behind = [module for module in held if module.state_dict()]
            target = behind[0] if len(behind) == 1 else network
            if not any(True for _ in target.state_dict()):
                raise UsageError(f"{self.short_name} has no weights of its own to load {self.weights} into.")
            load_weights(target, self.weights, ())
        if any(map(is_lazy, network.parameters())):
            raise UsageError(
                f"{self.short_name} has lazy layers whose sizes are not known yet: pass one batch through it "
                "before it is returned."
            )
        kinds = {
            str(tensor.dtype).removeprefix("torch.")
            for tensor in [*network.parameters(), *network.buffers()]
            if tensor.is_floating_point() and tensor.dtype != torch.float32
        }
        if kinds:
            network = self.copied(network).float()
            notes.append(f"its weights were {' and '.join(sorted(kinds))}, and are used as float32")
        return network, notes

    def copied(self, network: nn.Module) -> nn.Module:
        """Copy a network before it is changed, since its file may hand out the same one each time.

        Raises:
            UsageError: when it cannot be copied.
        """
        if isinstance(network, FunctionModule):  # the function would go on calling the networks themselves
            return network
        try:
            return copy.deepcopy(network)
        except Exception as error:  # a user's module may hold anything
            reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
            raise UsageError(
                f"{self.short_name} cannot be copied ({reason}), so its weights cannot be changed for the "
                "evaluation: give it in float32, with its weights loaded."
            ) from None

    def preprocess(self, network: nn.Module) -> Preprocess:
        """Build what happens to images before the network."""
        implied = self.defaults_of(network)
        chosen = {key: implied.get(key) for key in ("size", "resize", "crop", "channels")}
        given = {key: getattr(self, key) for key in chosen}
        if given["size"] is None and (given["resize"] or given["crop"]):
            chosen["size"] = None  # the size of the images is what resize and crop give
        options = {key: chosen[key] if value is None else value for key, value in given.items()}
        mean, std = self.mean or implied.get("mean"), self.std or implied.get("std")
        return Preprocess(
            **options,
            mean=channel_values(mean, 0) if mean else (0.0,),
            std=channel_values(std or (mean if mean and mean.isalpha() else "1"), 1),
        )

    def fingerprint(self) -> str:
        """Hash the weights of the loaded network, and the files that it is read from."""
        network, _ = self.loaded()
        return self._fingerprint_of(network)

    def _fingerprint_of(self, network: nn.Module) -> str:
        digest = hashlib.sha256(self.content().encode())
        for name, tensor in sorted(_state(network).items()):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()


def _state(network: nn.Module) -> dict[str, Tensor]:
    """The weights, and the tensors that modules and functions hold beside them."""
    found = {name: value for name, value in network.state_dict().items() if isinstance(value, Tensor)}
    for name, module in network.named_modules():
        held = dict(vars(module))
        if isinstance(module, FunctionModule):
            held |= names_of(module.function)
        found |= {f"{name}:{key}": value for key, value in held.items() if _is_plain(value)}
    return found


def _without_folder(value: Any) -> Any:
    """The name of a file or folder where an argument's text is the path of one."""
    return Path(value).name if isinstance(value, str) and "/" in value and Path(value).exists() else value


def _is_plain(value: object) -> bool:
    return isinstance(value, Tensor) and value.layout == torch.strided and not value.is_quantized


Finder = Callable[[str], type[OwnModel] | None]
_FINDERS: list[Finder] = []


def own_model_kind(finder: Finder, first: bool = False) -> Finder:
    """Register a kind of own models by a function from a name to its class, or None for other names.

    Args:
        finder: the function.
        first: ask it before those that are registered already, for names that would also be of their form.
    """
    _FINDERS.insert(0 if first else len(_FINDERS), finder)
    return finder


def own_model(name: str) -> type[OwnModel] | None:
    """Find the class of the own models that a spec's name stands for; None when it stands for none."""
    return next((found for finder in _FINDERS if (found := finder(name)) is not None), None)
