"""Running a model, or a part of it, without changing it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from benchmark.core.embedder import Embedder


def batch_norms(model: nn.Module) -> list[_BatchNorm]:
    """Find every batch norm within a model."""
    return [module for module in model.modules() if isinstance(module, _BatchNorm)]


def frozen_embedders(model: nn.Module) -> list[Embedder]:
    """Find the embedders within a model whose parameters are all frozen, as those of a model held in it are.

    They are to stay in evaluation mode while the rest is trained.
    """
    found = []
    for part in model.modules():
        needed = [parameter.requires_grad for parameter in part.parameters()]
        if isinstance(part, Embedder) and needed and not any(needed):
            found.append(part)
    return found


@contextmanager
def frozen(model: nn.Module, batch_statistics: bool = False) -> Iterator[None]:
    """Keep a model in evaluation mode within the block, without gradients for its parameters.

    Gradients still reach the images; `torch.no_grad()` turns them off too. Batch norm's running statistics do
    not change, and cost is counted as for an attack.

    Args:
        model: the model.
        batch_statistics: keep the modules in their current mode, so that batch norm in training mode still
            normalizes by the statistics of the batch (which makes adversarial examples weaker).
    """
    modules = list(model.modules())  # one walk: it takes as long as a small layer
    training = [] if batch_statistics else [module for module in modules if module.training]
    # In evaluation mode batch norm changes nothing.
    norms = [module for module in modules if isinstance(module, _BatchNorm)] if batch_statistics else []
    momenta = [norm.momentum for norm in norms]
    own = (parameter for module in modules for parameter in module._parameters.values())
    trainable = [parameter for parameter in own if parameter is not None and parameter.requires_grad]
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
