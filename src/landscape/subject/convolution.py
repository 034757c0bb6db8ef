"""Convolution whose derivatives of any order are convolutions and their gradients."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import Function

_convolve = torch.ops.aten.convolution.default
_convolve_back = torch.ops.aten.convolution_backward.default

#: strides, paddings, dilations, groups
Geometry = tuple[list[int], list[int], list[int], int]


def _format(value: Tensor) -> Tensor:
    """Channels last: two to three times as fast on processors; on devices as it comes."""
    return value.contiguous(memory_format=torch.channels_last) if value.is_cpu else value


def _empty(shape: torch.Size, like: Tensor) -> Tensor:
    kind = torch.channels_last if like.is_cpu else torch.contiguous_format
    return torch.empty(shape, dtype=like.dtype, device=like.device, memory_format=kind)


# y = C(x, w), dx = D(g, w), dw = W(g, x): each is linear in both arguments, and its derivatives are
# the other two.


class Convolution(Function):
    """Convolution of ``(n, c, h, w)``, differentiable for ever at the cost of convolutions."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor, b: Tensor | None, how: Geometry) -> Tensor:
        """Convolve; ``b`` or None is the bias."""
        ctx.save_for_backward(x, w)
        ctx.how = how
        stride, padding, dilation, groups = how
        return _convolve(
            _format(x), _format(w), b, stride, padding, dilation, False, [0, 0], groups
        )

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        """Gradients of input, weight and bias."""
        x, w = ctx.saved_tensors
        need = ctx.needs_input_grad
        to_x = _ConvInput.apply(g, w, x.shape, ctx.how) if need[0] else None
        to_w = _ConvWeight.apply(g, x, w.shape, ctx.how) if need[1] else None
        return to_x, to_w, g.sum((0, 2, 3)) if need[2] else None, None


class _ConvInput(Function):
    @staticmethod
    def forward(ctx: Any, g: Tensor, w: Tensor, shape: torch.Size, how: Geometry) -> Tensor:
        ctx.save_for_backward(g, w)
        ctx.shape, ctx.how = shape, how
        return _conv_back(g, _empty(shape, g), w, how, 0)

    @staticmethod
    def backward(ctx: Any, v: Tensor) -> Any:
        g, w = ctx.saved_tensors
        to_g = Convolution.apply(v, w, None, ctx.how) if ctx.needs_input_grad[0] else None
        to_w = _ConvWeight.apply(g, v, w.shape, ctx.how) if ctx.needs_input_grad[1] else None
        return to_g, to_w, None, None


class _ConvWeight(Function):
    @staticmethod
    def forward(ctx: Any, g: Tensor, x: Tensor, shape: torch.Size, how: Geometry) -> Tensor:
        ctx.save_for_backward(g, x)
        ctx.how = how
        return _conv_back(g, x, _empty(shape, g), how, 1)

    @staticmethod
    def backward(ctx: Any, v: Tensor) -> Any:
        g, x = ctx.saved_tensors
        to_g = Convolution.apply(x, v, None, ctx.how) if ctx.needs_input_grad[0] else None
        to_x = _ConvInput.apply(g, v, x.shape, ctx.how) if ctx.needs_input_grad[1] else None
        return to_g, to_x, None, None


def _conv_back(g: Tensor, x: Tensor, w: Tensor, how: Geometry, which: int) -> Tensor:
    stride, padding, dilation, groups = how
    if which == 1 and w.shape[2:].numel() == 1 and max(stride) > 1 and max(padding) == 0:
        # oneDNN writes beyond the weight gradient of a strided convolution of one pixel on
        # processors with AVX2 (2.14.1, channels last, not a multiple of 8): read what it reads
        x, stride = x[:, :, :: stride[0], :: stride[-1]], [1] * len(stride)
    mask = [which == 0, which == 1, False]
    sizes = stride, padding, dilation, False, [0, 0], groups, mask
    return _convolve_back(_format(g), _format(x), _format(w), None, *sizes)[which]
