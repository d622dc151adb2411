"""CUDA graphs without a GPU: recorded operations are repeated in the same memory at a replay."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

LOOKS = ("_local_scalar_dense", "nonzero", "equal")
"""Operations whose result the CPU waits for, which CUDA refuses within a capture."""


class Recorder(TorchDispatchMode):
    """Records operations with their inputs and outputs."""

    def __init__(self):
        super().__init__()
        self.operations = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.overloadpacket.__name__ in LOOKS:
            raise RuntimeError(f"CUDA error: {func} is not permitted when stream is capturing\nmore lines")
        outputs = func(*args, **(kwargs or {}))
        self.operations.append((func, args, kwargs or {}, outputs))
        return outputs


class NoLooks(TorchDispatchMode):
    """Refuses operations that the CPU waits for, as torch does in the mode that finds them."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.overloadpacket.__name__ in LOOKS:
            raise RuntimeError("called a synchronizing CUDA operation\nmore lines")
        return func(*args, **(kwargs or {}))


class RecordedGraph:
    """Stands in for `torch.cuda.CUDAGraph`: Python code runs at the capture only, as with a real one."""

    def __init__(self):
        self.operations = []

    def pool(self):
        return (0, 1)

    def replay(self):
        # Casts were recorded; within autocast, operations in float32 would be cast too.
        with torch.no_grad(), torch.autocast("cpu", enabled=False):
            for func, args, kwargs, outputs in self.operations:
                _repeat(func, args, kwargs, outputs)


def _tensors(value):
    return [part for part in tree_flatten(value)[0] if isinstance(part, torch.Tensor)]


def _repeat(func, args, kwargs, outputs):
    if func._schema.is_mutable:
        func(*args, **kwargs)
        return
    memory = {tensor.untyped_storage().data_ptr() for tensor in _tensors((args, kwargs))}
    if any(tensor.untyped_storage().data_ptr() in memory for tensor in _tensors(outputs)):
        return  # a view of an input, which is where it was
    for kept, new in zip(_tensors(outputs), _tensors(func(*args, **kwargs)), strict=True):
        kept.detach().copy_(new)


class _Stream:
    def wait_stream(self, other):
        assert isinstance(other, _Stream)


def stand_in(monkeypatch):
    """Replaces what captures use of `torch.cuda`; returns the list of the names called."""
    calls = []

    @contextmanager
    def graph(recorded: RecordedGraph, pool, capture_error_mode: str) -> Iterator[None]:
        assert pool in (None, (0, 1)) and capture_error_mode == "thread_local"
        with Recorder() as recorder:
            yield
        recorded.operations = recorder.operations

    def counted(name, function):
        def call(*arguments, **options):
            calls.append(name)
            return function(*arguments, **options)

        monkeypatch.setattr(torch.cuda, name, call)

    refusing = []

    def set_sync_debug_mode(mode):
        if mode == "error":
            refusing.append(NoLooks())
            refusing[-1].__enter__()
        else:
            refusing.pop().__exit__(None, None, None)

    monkeypatch.setattr(torch.cuda, "get_sync_debug_mode", lambda: 0)
    monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", set_sync_debug_mode)
    counted("Stream", _Stream)
    counted("current_stream", _Stream)
    counted("stream", lambda stream: nullcontext())
    counted("device", lambda device: nullcontext())
    counted("CUDAGraph", RecordedGraph)
    counted("graph", graph)
    return calls
