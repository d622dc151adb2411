"""Makes an embedder of any model, and checks what it returns."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmark.core.embedder import Embedder
from benchmark.core.errors import UsageError
from benchmark.models.own.modules_behind import modules_behind

Model: TypeAlias = Callable[[Tensor], Tensor]
"""An nn.Module or another callable: images in [0, 1], shape (n, C, H, W), to embeddings, shape (n, d)."""


class CheckedEmbedder(Embedder):
    """A caller's model as an embedder; its output is checked at each call.

    Outputs are scaled to unit length, in float32; an Embedder's are used as they are. Images are given to a
    module in the float type of its own parameters.

    Args:
        model: the model.
        randomised: whether two forward passes may differ.

    Raises:
        UsageError: when it is not callable; when called, for an output that is not (n, d) or not finite, and
            for one without a gradient where an attack needs one.
    """

    def __init__(self, model: Model, randomised: bool) -> None:
        super().__init__()
        if not callable(model):
            raise UsageError(f"model must be an nn.Module or a callable, not {type(model).__name__}.")
        self.randomised = randomised
        self._own = nn.ModuleList(modules_behind(model))  # registered, so that they are frozen with this one
        self._given = (model,)  # in a tuple, so that it is not registered a second time

    def forward(self, images: Tensor) -> Tensor:
        """Embeds images, shape (n, C, H, W) in [0, 1], as unit vectors, shape (n, d)."""
        floats = (parameter for parameter in self.parameters() if parameter.is_floating_point())
        first = next(floats, None)
        if first is not None and first.device != images.device:
            raise UsageError(f"The model is on {first.device}, the images are on {images.device}; move one.")
        (model,) = self._given
        given = images.clone()  # which the model may write to
        found = model(given if first is None else given.to(first.dtype))
        if not isinstance(found, Tensor) or found.dim() != 2 or len(found) != len(images):
            shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
            raise UsageError(
                f"The model must return embeddings of shape ({len(images)}, d) for {len(images)} images, "
                f"but returned {shape}."
            )
        if images.requires_grad and torch.is_grad_enabled() and not found.requires_grad:
            raise UsageError(
                "The model lets no gradient through, so white-box attacks cannot use it; take a black-box "
                "attack, such as square[objective=neighbour]."
            )
        if not torch.isfinite(found).all():
            raise UsageError("The model returned embeddings that are not finite.")
        return found if isinstance(model, Embedder) else F.normalize(found.float(), dim=1)

    def differentiable(self) -> Embedder:
        """Returns the model's own stand-in for gradients (BPDA), where it declares one."""
        (model,) = self._given
        if isinstance(model, Embedder):
            stand_in = model.differentiable()
            if stand_in is not model:
                return CheckedEmbedder(stand_in, self.randomised)
        return self

    @property
    def has_stand_in(self) -> bool:
        """Whether the model declares one, as an attribute."""
        return bool(getattr(self._given[0], "has_stand_in", False))
