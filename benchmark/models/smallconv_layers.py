"""Layers of `SmallConv` that compute what torch's do, with faster backward passes on a CPU."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.grad import conv2d_weight


class GrayConv2d(nn.Conv2d):
    """A convolution whose gradient with respect to images of one channel is a product and a `fold`.

    torch's own takes three times as long, a third of a forward and a backward pass of `SmallConv`. It is
    used for more than one channel, where it is as fast, and on other devices. The gradients are equal up to
    rounding.
    """

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if (
            self.in_channels == 1
            and input.device.type == "cpu"
            and input.requires_grad
            and torch.is_grad_enabled()
            and not torch.is_autocast_enabled("cpu")
        ):
            convolved: Tensor = _GrayConvolution.apply(input, weight, bias, self.stride, self.padding)
            return convolved
        # Not F.conv2d: `LayerWatch` watches this method, whose output requires a gradient in both cases.
        return torch.conv2d(input, weight, bias, self.stride, self.padding)


class _GrayConvolution(torch.autograd.Function):
    """The convolution of images of one channel, (b, 1, H, W), with a weight of shape (c, 1, h, w)."""

    @staticmethod
    def forward(
        ctx: Any,
        images: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        stride: tuple[int, int],
        padding: tuple[int, int],
    ) -> Tensor:
        """Returns the maps, shape (b, c, h', w')."""
        ctx.save_for_backward(images, weight)
        ctx.stride, ctx.padding = stride, padding
        return torch.conv2d(images, weight, bias, stride, padding)

    @staticmethod
    def backward(ctx: Any, *above: Tensor) -> tuple[Tensor | None, ...]:
        """Returns the gradients of what needs one, by differentiable operations."""
        (gradient,), (images, weight) = above, ctx.saved_tensors
        of_images = of_weight = of_bias = None
        if ctx.needs_input_grad[0]:
            rows = gradient.permute(0, 2, 3, 1).reshape(-1, len(weight))  # one for each place of the kernel
            patches = (rows @ weight.reshape(len(weight), -1)).view(len(images), -1, weight[0].numel())
            size, kernel = images.shape[2:], weight.shape[2:]
            of_images = F.fold(patches.transpose(1, 2), size, kernel, padding=ctx.padding, stride=ctx.stride)
        if ctx.needs_input_grad[1]:
            of_weight = conv2d_weight(
                images, list(weight.shape), gradient, stride=ctx.stride, padding=ctx.padding
            )
        if ctx.needs_input_grad[2]:
            of_bias = gradient.sum((0, 2, 3))
        return of_images, of_weight, of_bias, None, None


class LayoutFlatten(nn.Flatten):
    """Flattens maps, and gives their gradient the layout of the maps.

    In another layout than theirs the layer before goes through it several times as slowly.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Returns maps (b, c, h, w) as rows, (b, c h w)."""
        if input.requires_grad and input.is_contiguous(memory_format=torch.channels_last):
            input.register_hook(_channels_last)
        return super().forward(input)


def _channels_last(gradient: Tensor) -> Tensor:
    return gradient.contiguous(memory_format=torch.channels_last)
