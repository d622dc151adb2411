"""Hashes the code of a network that exists as an object, which may be written in a notebook."""

from __future__ import annotations

import hashlib
import inspect
import re
from collections.abc import Iterator
from types import CodeType
from typing import Any

from torch import nn

from benchmark.models.own.modules_behind import names_of

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_PLAIN = (bool, int, float, str, bytes, type(None))


def code_of_object(network: nn.Module) -> str:
    """Hashes the classes of all modules of a network, their settings, and the functions that they hold.

    Weights are not in it. Classes of torch itself count by their name.
    """
    digest = hashlib.sha256(_ADDRESS.sub("", repr(network)).encode())
    kinds: dict[str, type] = {}
    for name, module in network.named_modules():
        kinds[f"{type(module).__module__}.{type(module).__qualname__}"] = type(module)
        for key, value in sorted(vars(module).items()):
            if key == "training" or key.startswith("_"):
                continue
            if isinstance(value, _PLAIN):
                digest.update(f"{name}.{key}={value!r}\n".encode())
            elif inspect.isroutine(value):
                digest.update(f"{name}.{key}={_source(value)}\n".encode())
                for used, constant in sorted(names_of(value).items()):
                    if isinstance(constant, _PLAIN):
                        digest.update(f"{name}.{key}: {used}={constant!r}\n".encode())
    for kind, cls in sorted(kinds.items()):
        library = kind.startswith("torch.")
        digest.update(f"{kind} {'' if library else _source(cls)}\n".encode())
    return digest.hexdigest()


def _source(thing: Any) -> str:
    """Returns the text of a class or function, or what Python made of it where there is no text."""
    try:
        return inspect.getsource(thing)
    except (OSError, TypeError):
        functions = vars(thing).values() if isinstance(thing, type) else [thing]
        codes = [code for one in functions if (code := getattr(one, "__code__", None)) is not None]
        return " ".join(text for code in codes for text in _compiled(code)) or repr(type(thing))


def _compiled(code: CodeType) -> Iterator[str]:
    """Yields the instructions, names and constants of compiled code, without places in files."""
    yield code.co_code.hex()
    yield repr(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _compiled(constant)
        else:
            yield repr(constant)
