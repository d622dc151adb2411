"""Looking at a model without changing it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


def batch_norms(model: nn.Module) -> list[_BatchNorm]:
    """Every batch norm within a model."""
    return [module for module in model.modules() if isinstance(module, _BatchNorm)]


@contextmanager
def frozen(model: nn.Module, batch_statistics: bool = False) -> Iterator[None]:
    """Within the block the model is in evaluation mode and its parameters take no gradient.

    Batch norm's running statistics stay as they are, and the passes are counted as an attack's.

    Args:
        model: the model.
        batch_statistics: leave the modules in the mode that they are in, so that batch norm in training mode
            goes on normalising by the batch's own statistics (which makes weaker examples).
    """
    training = [] if batch_statistics else [module for module in model.modules() if module.training]
    norms = batch_norms(model)
    momenta = [norm.momentum for norm in norms]
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for module in training:
        module.training = False
    for norm in norms:
        norm.momentum = 0.0
    for parameter in trainable:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trainable:
            parameter.requires_grad_(True)
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        for module in training:
            module.training = True
