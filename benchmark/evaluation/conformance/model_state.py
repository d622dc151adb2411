"""What a call must leave of a model as it was."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


def model_state(model: nn.Module, trained_only: bool = False) -> dict[str, list[Any]]:
    """Reads what a call must leave as it is, by the words for it.

    Args:
        model: the model.
        trained_only: leave out frozen weights and buffers, such as batch norm's running statistics.
    """
    parameters = dict(model.named_parameters())
    weights = [p for p in parameters.values() if p.requires_grad or not trained_only]
    return {
        "the training mode": [module.training for module in model.modules()],
        "requires_grad": [parameter.requires_grad for parameter in parameters.values()],
        "gradients": [parameter.grad is None for parameter in parameters.values()],
        "weights": [weight.detach().clone() for weight in weights],
        "buffers": [] if trained_only else [buffer.clone() for buffer in model.buffers()],
        "the set of its parameters": list(parameters),
    }


def changed_parts(before: dict[str, list[Any]], after: dict[str, list[Any]]) -> list[str]:
    """Compares two states of a model, and returns the words for what differs."""
    return [name for name, old in before.items() if not _same(old, after[name])]


def _same(old: list[Any], new: list[Any]) -> bool:
    return len(old) == len(new) and all(
        torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b for a, b in zip(old, new, strict=True)
    )
