"""The precision of the passes that an attack searches with; what it finds is always scored in float32."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch

from benchmark.core.errors import AttackError, UsageError, unknown_name
from benchmark.core.tensor_float import tensor_float

WHOLE = "float32"
"""The precision that rounds nothing."""

_AMPERE = (8, 0)
"""The first compute capability of NVIDIA GPUs with TF32 and bfloat16."""


class SearchPrecision:
    """The precision of the forward and backward passes of a search."""

    def check(self, device: torch.device) -> None:
        """Raises UsageError when passes on the device cannot have this precision."""

    def forward(self, device: torch.device) -> AbstractContextManager[None]:
        """Returns the context of a forward pass."""
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

    def forward(self, device: torch.device) -> AbstractContextManager[None]:
        """Switches TF32 on."""
        return tensor_float(True)

    def backward(self) -> AbstractContextManager[None]:
        """Switches TF32 on."""
        return tensor_float(True)


class BFloat16(SearchPrecision):
    """Torch's autocast to bfloat16, which rounds to 7 bits; the backward pass follows the forward one."""

    def forward(self, device: torch.device) -> AbstractContextManager[None]:
        """Switches autocast on."""
        return _autocast(device)


@contextmanager
def _autocast(device: torch.device) -> Iterator[None]:
    """Casts to bfloat16 within the block.

    Raises:
        AttackError: for an error of a model that cannot compute in it.
    """
    try:
        with torch.autocast(device.type, dtype=torch.bfloat16):
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
