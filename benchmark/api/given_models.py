"""Names the models that a caller gives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn

from benchmark.api.checked_model import Model
from benchmark.core.errors import UsageError
from benchmark.core.labels import as_label
from benchmark.models.own import live_model
from benchmark.models.own.modules_behind import modules_behind

NAME = "model"
"""What a model is called that has no name of its own."""


def named_models(model: Model | str | Mapping[str, Model | str], name: str | None) -> dict[str, Model | str]:
    """Returns the models by the names that tables show; a spec names itself.

    Raises:
        UsageError: when there is none, one is neither a module, a callable nor a spec, or a name does not
            fit.
    """
    if isinstance(model, Mapping):
        if name is not None:
            raise UsageError("name= is for one model; the keys are the names of several.")
        named: dict[str, Model | str] = dict(model)
    else:
        named = {name or _own_name(model): model}
    if not named:
        raise UsageError("model is empty; give a model, or several by their names.")
    for key, one in named.items():
        if not (isinstance(one, str) or callable(one)):
            raise UsageError(
                f"The model '{key}' must be an nn.Module, a callable or a spec, not {type(one).__name__}."
            )
        if not isinstance(one, str) and as_label(str(key), "") != key:
            raise UsageError(
                f"'{key}' cannot be a model's name: it begins with a letter, a digit or _, and holds only "
                "letters, digits, _, ., + and -."
            )
    return named


def _own_name(model: Any) -> str:
    if isinstance(model, str):
        return model
    return as_label(getattr(model, "__name__", type(model).__name__), NAME)


def modules_of(models: Mapping[str, Model | str]) -> list[nn.Module]:
    """Lists the modules that the models consist of, without those that are given as specs."""
    return [module for one in models.values() if not isinstance(one, str) for module in modules_behind(one)]


def device_of(modules: list[nn.Module]) -> torch.device | None:
    """Returns the device of the first parameter or buffer; None where there is none."""
    tensors = (tensor for module in modules for tensor in (*module.parameters(), *module.buffers()))
    return next((tensor.device for tensor in tensors), None)


@contextmanager
def specs_of(models: Mapping[str, Model | str]) -> Iterator[list[str]]:
    """Gives every model a spec that holds within the block; its modules then get their own tensors back."""
    with ExitStack() as stack:
        for module in modules_of(models):
            stack.enter_context(_same_tensors(module))
        yield [
            one if isinstance(one, str) else stack.enter_context(live_model(name, one))
            for name, one in models.items()
        ]


@contextmanager
def _same_tensors(network: nn.Module) -> Iterator[None]:
    """Puts parameters and buffers back after the block, where they were moved or got another float type."""
    parameters = [(parameter, parameter.data) for parameter in network.parameters()]
    buffers = (
        []
        if isinstance(network, torch.jit.ScriptModule)
        else [
            (module, name, buffer) for module in network.modules() for name, buffer in module._buffers.items()
        ]
    )
    devices = device_of([network])
    try:
        yield
    finally:
        for parameter, data in parameters:
            parameter.data = data
        for module, name, buffer in buffers:
            module._buffers[name] = buffer
        if devices is not None and device_of([network]) != devices:
            network.to(devices)
