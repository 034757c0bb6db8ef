"""Every spatial convolution and pooling of a network, as it is run: weights, stride and grid."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from landscape.subject.sites import opened
from landscape.subject.trace import Recorder, trace


@dataclass(frozen=True)
class Filtering:
    """A linear filter on a map and the subsampling after it.

    Attributes
    ----------
    name, module
        Of the module that ran it; a second one in the same module has ``name`` ``module[1]``.
    kind
        ``conv``, ``dwconv`` or ``pool``.
    node
        Number of its outcome in the trace.
    weight
        ``(out, in / groups, kh, kw)``; None for what is not linear, as a maximum.
    stride, dilation
        Along rows and columns.
    grid, out
        ``(h, w)`` of the map that it reads, without padding, and of the one that it gives.
    """

    name: str
    module: str
    kind: str
    node: int
    weight: Tensor | None = field(repr=False)
    stride: tuple[int, int]
    dilation: tuple[int, int]
    grid: tuple[int, int]
    out: tuple[int, int]


def filterings(model: nn.Module, inputs: Tensor) -> list[Filtering]:
    """Find the filters of a network in one forward pass, in order.

    Convolutions of one pixel that skip none are left out, and what gives a map of one pixel.

    Examples
    --------
    >>> net = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(4, 4, 1), nn.AvgPool2d(2))
    >>> [(f.name, f.kind, f.grid, f.out) for f in filterings(net, torch.zeros(1, 3, 8, 8))]
    [('0', 'conv', (8, 8), (4, 4)), ('2', 'pool', (4, 4), (2, 2))]
    """
    recorder = _Filters(model)
    trace(model, inputs[:2], recorder)
    return recorder.found


class _Filters(Recorder):
    def __init__(self, model: nn.Module) -> None:
        super().__init__(model)
        self.found: list[Filtering] = []
        self.unpadded: dict[int, tuple[int, int]] = {}  # grids of maps that padding made larger

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is functional.multi_head_attention_forward:
            with self:
                return opened(func)(*args, **kwargs)
        op = getattr(func, "__name__", str(func))
        read = _convolution if op == "conv2d" else _pooling if "pool2d" in op else None
        out = super().__torch_function__(func, types, args, kwargs)
        node = self.numbers.get(id(out), -1) if isinstance(out, Tensor) else -1
        given = args[0] if args else kwargs.get("input")
        if op == "pad" and node >= 0 and given.ndim == 4:
            self.unpadded[id(out)] = _pair(given.shape[2:])
        if read is None or node < 0 or not isinstance(given, Tensor) or given.ndim != 4:
            return out
        before, after = self.unpadded.get(id(given), _pair(given.shape[2:])), _pair(out.shape[2:])
        how = read(op, args, kwargs, before, after)
        if how is None or after[0] * after[1] == 1:
            return out
        kind, weight, stride, dilation = how
        module = self.stack[-1][0]
        same = sum(f.module == module for f in self.found)
        name = f"{module}[{same}]" if same else module
        self.found.append(
            Filtering(name, module, kind, node, weight, stride, dilation, before, after)
        )
        return out


def _pair(value: Any) -> tuple[int, int]:
    if isinstance(value, Sequence):
        return int(value[0]), int(value[-1])
    return int(value), int(value)


_How = tuple[str, Tensor | None, tuple[int, int], tuple[int, int]]


def _convolution(op: str, args: Any, kwargs: Any, before: Any, after: Any) -> _How | None:
    order = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
    given = {"stride": 1, "dilation": 1, "groups": 1, **dict(zip(order, args, strict=False))}
    given |= kwargs
    weight, stride = given["weight"].detach(), _pair(given["stride"])
    if max(weight.shape[2:]) == 1 and max(stride) == 1:
        return None
    alone = given["groups"] > 1 and weight.shape[1] == 1
    return "dwconv" if alone else "conv", weight, stride, _pair(given["dilation"])


def _pooling(op: str, args: Any, kwargs: Any, before: Any, after: Any) -> _How | None:
    if "adaptive" in op:
        if any(n % m for n, m in zip(before, after, strict=True)):
            return None  # windows of several sizes are no filter
        size = stride = (before[0] // after[0], before[1] // after[1])
    else:
        order = ("input", "kernel_size", "stride", "padding")
        given = dict(zip(order, args, strict=False)) | kwargs
        size = _pair(given["kernel_size"])
        stride = _pair(given["stride"]) if given.get("stride") else size
    dilation = _pair(kwargs.get("dilation", args[4] if "max" in op and len(args) > 4 else 1))
    mean = "avg" in op
    box = torch.full((1, 1, *size), 1 / (size[0] * size[1]), dtype=torch.float64) if mean else None
    return "pool", box, stride, dilation
