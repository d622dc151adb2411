"""The precision of the passes that an attack searches with; what it finds is always scored in float32."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor, nn

from benchmark.core.errors import AttackError, UsageError, unknown_name
from benchmark.core.tensor_float import tensor_float

WHOLE = "float32"
"""The precision that rounds nothing."""

_AMPERE = (8, 0)
"""The first compute capability of NVIDIA GPUs with TF32 and bfloat16."""


Readers = Sequence[nn.Conv2d]
"""The convolutions of a model that read pixels."""


class SearchPrecision:
    """The precision of the forward and backward passes of a search."""

    def check(self, device: torch.device) -> None:
        """Raises UsageError when passes on the device cannot have this precision."""

    def forward(self, device: torch.device, readers: Readers = ()) -> AbstractContextManager[None]:
        """Returns the context of a forward pass.

        Args:
            device: where it is made.
            readers: those convolutions of the model that read pixels.
        """
        return nullcontext()

    def backward(self) -> AbstractContextManager[None]:
        """Returns the context of a backward pass."""
        return nullcontext()


class TensorFloat(SearchPrecision):
    """Float32, with the inputs of a GPU's convolutions and matrix products rounded to 10 bits."""

    def check(self, device: torch.device) -> None:
        """Raises UsageError on a CPU, which computes in float32 all the same, and on a GPU without TF32."""
        if device.type != "cuda":
            raise UsageError(
                f"The attack precision tf32 is one of GPUs, and the device is '{device.type}'; take float32 "
                "or bfloat16."
            )
        if torch.cuda.get_device_capability(device) < _AMPERE:
            raise UsageError(
                f"{torch.cuda.get_device_name(device)} has no TF32; take the attack precision float32."
            )

    def forward(self, device: torch.device, readers: Readers = ()) -> AbstractContextManager[None]:
        """Switches TF32 on."""
        return tensor_float(True)

    def backward(self) -> AbstractContextManager[None]:
        """Switches TF32 on."""
        return tensor_float(True)


class BFloat16(SearchPrecision):
    """Torch's autocast to bfloat16, which rounds to 7 bits; the backward pass follows the forward one.

    Convolutions that read pixels stay in float32: rounding would move a bright pixel by half of 1/255, which
    may be the whole budget of an attack on photographs.
    """

    def forward(self, device: torch.device, readers: Readers = ()) -> AbstractContextManager[None]:
        """Switches autocast on, but for the convolutions that read pixels."""
        return _autocast(device, readers)


def pixel_readers(model: nn.Module, channels: int) -> list[nn.Conv2d]:
    """Finds the convolutions within a model that read pixels, by their number of input channels."""
    return [part for part in model.modules() if isinstance(part, nn.Conv2d) and part.in_channels == channels]


@contextmanager
def _whole(readers: Readers, device: torch.device) -> Iterator[None]:
    """Switches autocast off within calls of some convolutions."""
    off = torch.autocast(device.type, enabled=False)

    def before(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        off.__enter__()
        return tuple(given.float() for given in inputs)

    def after(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        off.__exit__(None, None, None)

    handles = [reader.register_forward_pre_hook(before) for reader in readers]
    handles += [reader.register_forward_hook(after) for reader in readers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _autocast(device: torch.device, readers: Readers) -> Iterator[None]:
    """Casts to bfloat16 within the block, but for some convolutions.

    Raises:
        AttackError: for an error of a model that cannot compute in it.
    """
    try:
        with torch.autocast(device.type, dtype=torch.bfloat16), _whole(readers, device):
            yield
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise AttackError(
            f"The model fails in a search in bfloat16: {reason}. Take the attack precision float32."
        ) from error


PRECISIONS: Mapping[str, SearchPrecision] = {
    WHOLE: SearchPrecision(),
    "tf32": TensorFloat(),
    "bfloat16": BFloat16(),
}
"""The precisions of a search, by their names."""


def precision_name(name: str) -> str:
    """Returns the name of a precision.

    Raises:
        UsageError: for an unknown one.
    """
    if name not in PRECISIONS:
        raise unknown_name("attack precision", name, PRECISIONS)
    return name


def check_precision(name: str, device: torch.device | str) -> None:
    """Checks that a search on the device can have a precision.

    Raises:
        UsageError: for an unknown one, or one that the device does not have.
    """
    PRECISIONS[precision_name(name)].check(torch.device(device))
