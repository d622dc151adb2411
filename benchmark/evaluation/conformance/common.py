"""What the checks of several kinds share: round trips of specs, settings and models that must not change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from benchmark.core.parameters import Parameters
from benchmark.core.seeding import seed_everything
from benchmark.core.spec import parse_spec
from benchmark.evaluation.conformance.contract_check import ContractError
from benchmark.evaluation.conformance.settings import read_generators, read_settings, restore

SPEC_WANTED = "It can be rebuilt from its spec."
SPEC_ADVICE = "Annotate parameters with types that can be written as text: numbers, words, true or false."
SETTINGS_WANTED = "Settings of the whole process are not changed, and no generator is seeded."
SETTINGS_ADVICE = (
    "Use a context manager instead, such as torch.no_grad(), and a generator of its own for draws that must "
    "be the same each time: torch.Generator().manual_seed(...)."
)
SAME_ADVICE = "Draw from torch's own generator or by noise_per_image, never from the clock or the system."


def check_spec(component: Parameters) -> None:
    """Raises ContractError unless the spec, which is all that a worker receives, builds an equal object."""
    if not component.name:  # a class that is not registered has no spec yet
        return
    if type(component).from_spec(parse_spec(component.spec)) != component:
        raise ContractError(f"'{component.spec}' gives another {component.name}")


def check_settings(use: Callable[[], object]) -> None:
    """Raises ContractError when a call changes a setting of the process, or seeds a random generator."""
    changes, states = [], []
    for seed in (1, 2):
        seed_everything("conformance-settings", seed)
        before = read_settings()
        use()
        changes.append(restore(before))
        states.append(read_generators())
    # Twice, because a package imported by the component may change a setting on import.
    changed = [name for name in changes[0] if name in changes[1]]
    if changed:
        raise ContractError(f"it changes {' and '.join(changed)}")
    seeded = [name for name, state in states[0].items() if state == states[1][name]]
    if seeded:
        raise ContractError(f"it seeds the generator of {' and '.join(seeded)}")


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
