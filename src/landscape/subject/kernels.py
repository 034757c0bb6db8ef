"""Convolution, normalisation, GELU and softmax whose second derivatives cost what the first do.

PyTorch differentiates its own backward passes by formulas that are not made for speed: a weight
gradient becomes a convolution with a kernel as large as the image, GELU and layer normalisation
some thirty passes over their maps. Here the second derivative of each is written out, with what it
needs kept from the first pass, and convolutions run in the memory format that processors like. A
batch normalisation in eval mode right after a convolution is folded into its weights (``w' = w
gamma / sigma``, differentiably), so no derivative passes through it.

`swift` puts them in the place of torch's functions for a while, whoever calls them.
"""

import weakref
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import Function, once_differentiable
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from landscape.subject.convolution import Convolution

_normalise = torch.ops.aten.native_layer_norm.default
_normalise_back = torch.ops.aten.native_layer_norm_backward.default
_softmax_back = torch.ops.aten._softmax_backward_data.default


def swift() -> TorchFunctionMode:
    """Context in which forward passes are recorded for fast second derivatives.

    Examples
    --------
    >>> x = torch.tensor([0.5], dtype=torch.float64, requires_grad=True)
    >>> with swift():
    ...     y = functional.gelu(x)
    >>> (slope,) = torch.autograd.grad(y, x, create_graph=True)
    >>> (bend,) = torch.autograd.grad(slope, x)  # phi(x) (2 - x^2)
    >>> bend.item().__round__(6)
    0.616114
    """
    return _Swift()


class _Swift(TorchFunctionMode):
    def __init__(self) -> None:
        super().__init__()
        self.last: tuple[Any, ...] | None = None  # a convolution that may be folded into

    def __torch_function__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        kwargs = kwargs or {}
        own: Any = {
            torch.conv2d: self._conv,
            functional.batch_norm: self._batch_norm,
            functional.layer_norm: _layer_norm,
            functional.gelu: _gelu,
            functional.softmax: _softmax,
            torch.softmax: _softmax,
            Tensor.softmax: _softmax,
            functional.scaled_dot_product_attention: _attention,
            Tensor.view: _view,
        }.get(func)
        found = own(*args, **kwargs) if own else None
        return func(*args, **kwargs) if found is None else found

    def _conv(
        self,
        input: Tensor,  # noqa: A002
        weight: Tensor,
        bias: Tensor | None = None,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
    ) -> Tensor | None:
        if isinstance(padding, str) or input.ndim != 4 or not _plain(input, weight):
            return None
        how = (_pair(stride), _pair(padding), _pair(dilation), groups)
        output = Convolution.apply(input, weight, bias, how)
        self.last = weakref.ref(output), output._version, input, weight, bias, how
        return output

    def _batch_norm(
        self,
        input: Tensor,  # noqa: A002
        running_mean: Tensor | None,
        running_var: Tensor | None,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        training: bool = False,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> Tensor | None:
        last, self.last = self.last, None
        if training or running_mean is None or running_var is None or last is None:
            return None
        output, version, inside, kernel, shift, how = last
        if output() is not input or input._version != version:
            return None
        scale = torch.rsqrt(running_var + eps)
        scale = scale if weight is None else scale * weight
        moved = (-running_mean if shift is None else shift - running_mean) * scale
        moved = moved if bias is None else moved + bias
        return Convolution.apply(inside, kernel * scale[:, None, None, None], moved, how)


def _plain(*tensors: Tensor) -> bool:
    same = len({t.dtype for t in tensors}) == 1 and tensors[0].is_floating_point()
    return same and not torch.is_autocast_enabled(tensors[0].device.type)


def _pair(value: Any) -> list[int]:
    return [value, value] if isinstance(value, int) else list(value) * (2 // len(value))


def _view(self: Tensor, *shape: Any) -> Tensor | None:
    """What a network views as rows may have got channels last here."""
    if self.ndim != 4 or self.is_contiguous() or (shape and isinstance(shape[0], torch.dtype)):
        return None
    return self.reshape(*shape)


def _gelu(input: Tensor, approximate: str = "none") -> Tensor | None:  # noqa: A002
    if approximate != "none" or not _plain(input):
        return None
    return _Gelu.apply(input)


class _Gelu(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        below = torch.special.ndtr(x)
        bell = torch.exp(-0.5 * x * x).mul_((2 * torch.pi) ** -0.5)
        ctx.save_for_backward(x, torch.addcmul(below, x, bell), bell)
        return x * below

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        x, slope, bell = ctx.saved_tensors
        if not torch.is_grad_enabled():
            return g * slope
        return _GeluBack.apply(g, x, slope.detach(), bell.detach())


class _GeluBack(Function):
    @staticmethod
    def forward(ctx: Any, g: Tensor, x: Tensor, slope: Tensor, bell: Tensor) -> Tensor:
        ctx.save_for_backward(slope, g * bell * (2 - x * x))
        return g * slope

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, v: Tensor) -> Any:
        slope, bend = ctx.saved_tensors
        return v * slope, v * bend, None, None


def _softmax(input: Tensor, dim: int | None = None, *rest: Any, **more: Any) -> Tensor | None:  # noqa: A002
    if rest or more or dim not in (-1, input.ndim - 1) or not _plain(input):
        return None
    return _Softmax.apply(input)


class _Softmax(Function):
    @staticmethod
    def forward(ctx: Any, s: Tensor) -> Tensor:
        y = torch.softmax(s, -1)
        ctx.save_for_backward(s, y)
        return y

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        s, y = ctx.saved_tensors
        if not torch.is_grad_enabled():
            return _softmax_back(g, y, -1, y.dtype)
        return _SoftmaxBack.apply(g, s, y.detach())


class _SoftmaxBack(Function):
    """Differentiated by the scores ``s`` at once: ``(v - a) u - y <v - a, u>``, ``a = <v, y>``."""

    @staticmethod
    def forward(ctx: Any, g: Tensor, s: Tensor, y: Tensor) -> Tensor:
        u = _softmax_back(g, y, -1, y.dtype)
        ctx.save_for_backward(y, u)
        return u

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, v: Tensor) -> Any:
        y, u = ctx.saved_tensors
        level = torch.linalg.vecdot(v, y)[..., None]
        bent = (v - level).mul_(u)
        bent.addcmul_(y, bent.sum(-1, keepdim=True), value=-1)
        return _softmax_back(v, y, -1, y.dtype), bent, None


def _attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor | None:
    if attn_mask is not None or dropout_p or is_causal or enable_gqa:
        return None
    if not _plain(query, key, value):
        return None
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    return _Softmax.apply((query * scale) @ key.mT) @ value


def _layer_norm(
    input: Tensor,  # noqa: A002
    normalized_shape: Any,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor | None:
    if not _plain(input):
        return None
    output = _LayerNorm.apply(input.contiguous(), list(normalized_shape), eps)
    output = output if weight is None else output * weight
    return output if bias is None else output + bias


class _LayerNorm(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, shape: list[int], eps: float) -> Tensor:
        y, middle, rate = _normalise(x, shape, None, None, eps)
        ctx.save_for_backward(x, y, middle, rate)
        ctx.shape = shape
        return y

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        x, y, middle, rate = ctx.saved_tensors
        if not torch.is_grad_enabled():
            return _centred(g, x, ctx.shape, middle, rate), None, None
        return _LayerNormBack.apply(g, x, y.detach(), middle, rate, ctx.shape), None, None


class _LayerNormBack(Function):
    """``u = r (g - <g> - y <g y>)``; by ``x``: ``-(y r <v u> + p r <g y> + u r <v y>)``.

    ``<>`` are means, ``r`` is the inverse standard deviation, ``p`` is ``u`` with ``v`` for ``g``.
    """

    @staticmethod
    def forward(
        ctx: Any, g: Tensor, x: Tensor, y: Tensor, middle: Tensor, rate: Tensor, shape: list[int]
    ) -> Tensor:
        u = _centred(g, x, shape, middle, rate)
        ctx.dims = tuple(range(-len(shape), 0))
        ctx.save_for_backward(x, y, middle, rate, u, -rate * (g * y).mean(ctx.dims, keepdim=True))
        ctx.shape = shape
        return u

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, v: Tensor) -> Any:
        x, y, middle, rate, u, tilt = ctx.saved_tensors
        p = _centred(v, x, ctx.shape, middle, rate)
        along = (v * y).mean(ctx.dims, keepdim=True) * -rate
        drop = (v * u).mean(ctx.dims, keepdim=True) * -rate
        return p, (y * drop).addcmul_(p, tilt).addcmul_(u, along), None, None, None, None


def _centred(g: Tensor, x: Tensor, shape: list[int], middle: Tensor, rate: Tensor) -> Tensor:
    mask = [True, False, False]
    return _normalise_back(g.contiguous(), x, shape, middle, rate, None, None, mask)[0]
