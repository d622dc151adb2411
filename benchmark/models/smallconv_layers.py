"""Layers of `SmallConv` that compute what torch's do, with faster backward passes on a CPU."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.grad import conv2d_weight

Size = int | tuple[int, int]


class GrayConv2d(nn.Conv2d):
    """A convolution whose gradient with respect to images of one channel is a product and a `fold`.

    torch's own takes three times as long in large batches, where it is a third of a forward and a backward
    pass of `SmallConv`. It is used for more than one channel, where it is as fast, in autocast, and on other
    devices. The gradients are equal up to rounding.

    Args:
        in_channels: of the images, which are a batch.
        out_channels: of the maps.
        kernel_size, stride, padding: as torch's; padding is with zeros.
        bias: whether a bias is added.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size = 0,
        bias: bool = True,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, bias=bias)

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if self._is_faster(input):
            convolved: Tensor = _GrayConvolution.apply(input, weight, bias, self.stride, self.padding)
            return convolved
        # Not F.conv2d: `LayerWatch` watches this method, whose output requires a gradient in both cases.
        return torch.conv2d(input, weight, bias, self.stride, self.padding)

    def _is_faster(self, images: Tensor) -> bool:
        """Whether a gradient with respect to the images is asked for that the product is faster for."""
        return (
            self.in_channels == 1
            and images.device.type == "cpu"
            and images.requires_grad
            and torch.is_grad_enabled()
            and not torch.is_autocast_enabled("cpu")
            and not torch.jit.is_tracing()  # type: ignore[attr-defined]
        )


class _GrayConvolution(torch.autograd.Function):
    """The convolution of images of one channel, (b, 1, H, W), with a weight of shape (c, 1, h, w)."""

    generate_vmap_rule = True

    @staticmethod
    def forward(
        images: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        stride: tuple[int, int],
        padding: tuple[int, int],
    ) -> Tensor:
        """Returns the maps, shape (b, c, h', w')."""
        return torch.conv2d(images, weight, bias, stride, padding)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        """Keeps what the gradients need."""
        images, weight, _, ctx.stride, ctx.padding = inputs
        ctx.save_for_backward(images, weight)

    @staticmethod
    def backward(ctx: Any, *above: Tensor) -> tuple[Tensor | None, ...]:
        """Returns the gradients of what needs one, by differentiable operations."""
        (gradient,), (images, weight) = above, ctx.saved_tensors
        of_images = of_weight = of_bias = None
        if ctx.needs_input_grad[0]:
            places, kernel = gradient.shape[2] * gradient.shape[3], weight.shape[2:]
            rows = gradient.permute(0, 2, 3, 1).reshape(-1, len(weight))  # one for each place of the kernel
            patches = (rows @ weight.reshape(len(weight), -1)).view(len(images), places, weight[0].numel())
            of_images = F.fold(
                patches.transpose(1, 2), images.shape[2:], kernel, padding=ctx.padding, stride=ctx.stride
            )
        if ctx.needs_input_grad[1]:
            of_weight = conv2d_weight(
                images, list(weight.shape), gradient, stride=ctx.stride, padding=ctx.padding
            )
        if ctx.needs_input_grad[2]:
            of_bias = gradient.sum((0, 2, 3))
        return of_images, of_weight, of_bias, None, None


class LayoutFlatten(nn.Flatten):
    """Flattens maps, and on a CPU gives their gradient the layout of the maps.

    The layer before takes several times as long for a gradient in another layout.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Returns maps (b, c, h, w) as rows, (b, c h w)."""
        computed = input.requires_grad and not input.is_leaf
        if computed and input.device.type == "cpu" and input.is_contiguous(memory_format=torch.channels_last):
            input.register_hook(_channels_last)
        return super().forward(input)


def _channels_last(gradient: Tensor) -> Tensor:
    # Not contiguous(memory_format=...), which vmap cannot do.
    return gradient.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
