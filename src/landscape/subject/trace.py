"""One forward pass as a data-flow graph: which operation made which tensor out of which.

Every torch function whose arguments descend from the input becomes a node, with the module that
called it, and with the layout of its value followed through the operations (a map ``(b, c, h, w)``
becomes tokens by flatten and transpose; a shape alone cannot tell NCHW from NHWC).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import (
    register_module_forward_hook,
    register_module_forward_pre_hook,
)
from torch.overrides import TorchFunctionMode

from landscape.subject.guest import untouched

_SUMS = {"add", "add_", "__add__", "__iadd__", "__radd__"}
_PRODUCTS = {"matmul", "__matmul__", "__rmatmul__", "bmm", "einsum", "baddbmm"}
_ATTENTION = {"scaled_dot_product_attention", "multi_head_attention_forward"}
_RESHAPES = {"view", "reshape", "flatten", "unflatten", "_unsafe_view"}
_SWAPS = {"transpose", "permute", "swapaxes", "swapdims", "movedim", "moveaxis", "__get__"}
_OPAQUE = _PRODUCTS | _ATTENTION  # mixes tokens or channels: says nothing about the layout
_CONVS = ("conv1d", "conv2d", "conv3d", "conv_transpose2d")


@dataclass
class Node:
    """One tensor: the operation that made it, in which module call, shaped and laid out how."""

    op: str
    module: str
    call: int
    parents: tuple[int, ...]
    shape: tuple[int, ...]
    layout: str = ""  # nchw, nhwc, tokens (b, n, c), channels (b, c, n), or unknown
    grid: tuple[int, int] | None = None
    kernel: int = 1


@dataclass
class Trace:
    """The graph, and what went in and out of each module (node numbers, one for each call)."""

    nodes: list[Node] = field(default_factory=list)
    ancestry: list[int] = field(default_factory=list)  # bit sets, the node itself included
    inputs: dict[str, list[int]] = field(default_factory=dict)
    outputs: dict[str, list[int]] = field(default_factory=dict)
    started: dict[str, int] = field(default_factory=dict)
    children: dict[str, bool] = field(default_factory=dict)

    def descends(self, node: int, ancestor: int) -> bool:
        """Whether ``node`` was computed from ``ancestor`` (or is it)."""
        return node >= 0 and bool(self.ancestry[node] >> ancestor & 1)

    def origin(self, node: int) -> int:
        """The node that a mere reshape shows under another shape."""
        while node >= 0 and self.nodes[node].op in (*_RESHAPES, "contiguous"):
            node = self.nodes[node].parents[0]
        return node

    def composite(self, module: str) -> bool:
        """Whether a module has children."""
        return self.children.get(module, False)

    def sums(self) -> Iterator[int]:
        """Residual sums: two maps of one shape, from one source, added."""
        for number, node in enumerate(self.nodes):
            if node.op in _SUMS and len(node.parents) == 2 and node.layout:
                a, b = node.parents
                same = self.nodes[a].shape == self.nodes[b].shape == node.shape
                if same and a != b and self.ancestry[a] & self.ancestry[b]:
                    yield number

    def kind(self, members: int) -> str:
        """What a set of nodes does to a map: attend, convolve, MLP, pool or only normalise."""
        nodes = [(i, n) for i, n in enumerate(self.nodes) if members >> i & 1]
        ops = {n.op for _, n in nodes}
        soft = sum(1 << i for i, n in nodes if n.op in ("softmax", "_softmax"))
        if ops & _ATTENTION or any(n.op in _PRODUCTS and self.ancestry[i] & soft for i, n in nodes):
            return "msa"
        if any(n.op in _CONVS and n.kernel > 1 for _, n in nodes):
            return "conv"
        if any(n.op in _CONVS or n.op == "linear" for _, n in nodes):
            return "mlp"
        return "pool" if any("pool" in n.op for _, n in nodes) else "norm"

    def leaves(self) -> list[tuple[str, str]]:
        """Modules without children, called once, that convolve, attend or pool, in order."""
        found = []
        for name, outs in self.outputs.items():
            if len(outs) != 1 or outs[0] < 0 or len(self.inputs[name]) != 1:
                continue
            before = self.inputs[name][0]
            past = self.ancestry[before] if before >= 0 else 0
            kind = self.kind(self.ancestry[outs[0]] & ~past)
            plain = not self.composite(name) and kind in ("conv", "pool", "mlp")
            if name and (plain or kind == "msa"):
                found.append((name, kind))
        return sorted(found, key=lambda item: self.outputs[item[0]][0])


def trace(model: nn.Module, inputs: Tensor) -> Trace:
    """Run ``model`` once on ``inputs`` and record the graph; leaves the model as it was."""
    recorder = _Recorder(model)
    layout = "nchw" if inputs.ndim == 4 else ""
    where = next(model.parameters(), inputs).device
    inputs = inputs.detach().to(where)
    grid = (inputs.shape[-2], inputs.shape[-1]) if layout else None
    recorder.note(inputs, Node("input", "", 0, (), tuple(inputs.shape), layout, grid))
    handles = [
        register_module_forward_pre_hook(recorder.enter),
        register_module_forward_hook(recorder.leave),
    ]
    try:
        with untouched(model), torch.no_grad(), recorder:
            model(inputs)
    finally:
        for handle in handles:
            handle.remove()
    return recorder.trace


class _Recorder(TorchFunctionMode):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.trace = Trace()
        self.names = {id(m): name for name, m in model.named_modules()}
        self.trace.children = {
            name: any(True for _ in m.children()) for name, m in model.named_modules()
        }
        self.numbers: dict[int, int] = {}
        self.alive: list[Tensor] = []  # an id is only unique while its tensor lives
        self.stack: list[tuple[str, int]] = [("", 0)]
        self.calls = 0

    def note(self, value: Tensor, node: Node) -> None:
        number = len(self.trace.nodes)
        past = 1 << number
        for parent in node.parents:
            past |= self.trace.ancestry[parent]
        self.trace.nodes.append(node)
        self.trace.ancestry.append(past)
        self.numbers[id(value)] = number
        self.alive.append(value)

    def enter(self, module: nn.Module, args: Any) -> None:
        name = self.names.get(id(module), "")  # one that is not registered has no name of its own
        self.calls += 1
        self.stack.append((name, self.calls))
        self.trace.started.setdefault(name, len(self.trace.nodes))
        self.trace.inputs.setdefault(name, []).append(self._number(args))

    def leave(self, module: nn.Module, args: Any, output: Any) -> None:
        name, _ = self.stack.pop()
        self.trace.outputs.setdefault(name, []).append(self._number(output))

    def _number(self, value: Any) -> int:
        first = next(_tensors(value), None)
        return -1 if first is None else self.numbers.get(id(first), -1)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        op = getattr(func, "__name__", str(func))
        known = [self.numbers[id(t)] for t in _tensors((args, kwargs)) if id(t) in self.numbers]
        out = func(*args, **kwargs)
        made = [args[0]] if op == "__setitem__" else list(_tensors(out))
        if known:
            module, call = self.stack[-1]
            for value in made:
                node = Node(op, module, call, tuple(dict.fromkeys(known)), tuple(value.shape))
                layout, grid = self._layout(op, node)
                if self._plausible(node.shape, layout, grid):
                    node.layout, node.grid = layout, grid
                if op in _CONVS:
                    weight = kwargs.get("weight", args[1] if len(args) > 1 else None)
                    node.kernel = max(weight.shape[2:]) if weight is not None else 1
                self.note(value, node)
        return out

    def _plausible(self, shape: tuple[int, ...], layout: str, grid: tuple[int, int] | None) -> bool:
        """Whether this may be a map of the images, not of windows, patches or class tokens."""
        image = self.trace.nodes[0]
        if shape[:1] != image.shape[:1] or grid is None:
            return False
        h, w = image.grid or grid
        tall, wide = grid[0] * w, grid[1] * h
        if not wide <= 2 * tall <= 4 * wide:  # not the images' aspect, rounding allowed for
            return False
        length = {"tokens": 1, "channels": 2}.get(layout)
        return length is None or shape[length] >= grid[0] * grid[1]

    def _layout(self, op: str, node: Node) -> tuple[str, tuple[int, int] | None]:
        """Follow the meaning of the dimensions through one operation."""
        shape = node.shape
        parents = [self.trace.nodes[p] for p in node.parents]
        mapped = next((p for p in parents if p.layout), None)
        if op in (*_CONVS, "batch_norm", "group_norm", "instance_norm", "interpolate") or (
            "pool" in op
        ):
            return ("nchw", (shape[2], shape[3])) if len(shape) == 4 else ("", None)
        if op == "linear" or op == "layer_norm":
            if len(shape) == 4 and (mapped is None or mapped.layout == "nhwc"):
                return "nhwc", (shape[1], shape[2])
            if len(shape) == 3 and mapped and mapped.layout == "tokens":
                return "tokens", mapped.grid
            return ("", None) if mapped is None or op == "linear" else (mapped.layout, mapped.grid)
        if mapped is None or op in _OPAQUE:
            return "", None
        before = mapped.shape
        if op in _SWAPS:
            return _swapped(mapped, shape)
        if op in _RESHAPES:
            return _reshaped(mapped, shape)
        if len(shape) == len(before):
            if mapped.layout == "nchw":
                return "nchw", (shape[2], shape[3])
            if mapped.layout == "nhwc":
                return "nhwc", (shape[1], shape[2])
            return mapped.layout, mapped.grid
        return "", None


def _swapped(old: Node, shape: tuple[int, ...]) -> tuple[str, tuple[int, int] | None]:
    """Layout after a permutation, told by where the dimensions went (ambiguous: as expected)."""
    a = old.shape
    if shape == a and len(set(a)) == len(a):
        return old.layout, old.grid
    if old.layout == "nchw" and shape == (a[0], a[2], a[3], a[1]):
        return "nhwc", old.grid
    if old.layout == "nhwc" and shape == (a[0], a[3], a[1], a[2]):
        return "nchw", old.grid
    if old.layout in ("channels", "tokens") and shape == (a[0], a[2], a[1]):
        return ("tokens" if old.layout == "channels" else "channels"), old.grid
    return "", None


def _reshaped(old: Node, shape: tuple[int, ...]) -> tuple[str, tuple[int, int] | None]:
    """Layout after a reshape that keeps the batch and merges or splits the grid."""
    a, grid = old.shape, old.grid
    if shape == a:
        return old.layout, grid
    if len(a) == 4 and len(shape) == 3 and grid and a[0] == shape[0]:
        n = grid[0] * grid[1]
        if old.layout == "nchw" and shape[1:] == (a[1], n):
            return "channels", grid
        if old.layout == "nhwc" and shape[1:] == (n, a[3]):
            return "tokens", grid
    if len(a) == 3 and len(shape) == 4 and a[0] == shape[0]:
        if old.layout == "tokens" and shape[1:] == (*(grid or ()), a[2]):
            return "nhwc", grid
        if old.layout == "channels" and shape[1:] == (a[1], *(grid or ())):
            return "nchw", grid
    return "", None


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _tensors(item)
    elif isinstance(value, dict):
        yield from _tensors(tuple(value.values()))
