"""One forward pass as a data-flow graph: which operation made which tensor out of which.

Every torch function whose arguments descend from the input becomes a node, with the module that
called it and the places in the images that its value stands for.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from landscape.subject.guest import untouched
from landscape.subject.places import Places, follow, of_images, somewhere, tensors, varies, words
from landscape.subject.reading import Reading, read_off

_JOINS = {"cat", "concat", "concatenate", "__setitem__"}
_CONVS = ("conv1d", "conv2d", "conv3d", "conv_transpose2d")
#: only the shape of the argument goes into the outcome, not its value
_EMPTY = words(
    "new_zeros new_ones new_full new_empty new_tensor zeros_like ones_like full_like empty_like "
    "rand_like randn_like"
)


@dataclass
class Node:
    """One tensor: the operation that made it, in which module call, out of which tensors."""

    op: str
    module: str
    call: int
    parents: tuple[int, ...]
    shape: tuple[int, ...]
    places: Places | None = None
    kernel: int = 1  # the longest side of a convolution's kernel
    depthwise: bool = False
    spatial: bool = False  # a softmax over places
    source: int = -1  # the last node before it that all ways to it pass through
    depth: int = 0  # how many such nodes come one after the other before it

    @cached_property
    def reading(self) -> Reading | None:
        """How it is read as maps of the images; None if it is none."""
        return read_off(self.places)


@dataclass
class Trace:
    """The graph, and what went in and out of each module at each of its calls.

    There, -1 is a tensor that was not computed from the images.
    """

    nodes: list[Node] = field(default_factory=list)
    ancestry: list[int] = field(default_factory=list)  # bit sets, the node itself included
    flow: list[int] = field(default_factory=list)  # without what came only as a class token
    inputs: dict[str, list[tuple[int, ...]]] = field(default_factory=dict)
    outputs: dict[str, list[tuple[int, ...]]] = field(default_factory=dict)
    started: dict[str, int] = field(default_factory=dict)
    children: dict[str, bool] = field(default_factory=dict)
    final: tuple[int, ...] = ()

    def descends(self, node: int, ancestor: int) -> bool:
        """Whether ``node`` was computed from ``ancestor`` (or is it)."""
        return node >= 0 and bool(self.ancestry[node] >> ancestor & 1)

    def between(self, start: int, end: int) -> int:
        """Nodes that ``end`` was computed from and ``start`` was not."""
        return self.ancestry[end] & ~(self.ancestry[start] if start >= 0 else 0)

    def members(self, nodes: int) -> Iterator[tuple[int, Node]]:
        """Numbers and nodes of a bit set, in order."""
        while nodes:
            number = (nodes & -nodes).bit_length() - 1
            yield number, self.nodes[number]
            nodes &= nodes - 1

    def common(self, nodes: tuple[int, ...]) -> int:
        """The last node that all ways to ``nodes`` pass through."""
        found = nodes[0]
        for node in nodes[1:]:
            while found != node:
                if self.nodes[found].depth >= self.nodes[node].depth:
                    found = self.nodes[found].source
                else:
                    node = self.nodes[node].source
        return found

    @cached_property
    def used(self) -> int:
        """All nodes that the network's output was computed from."""
        found = 0
        for node in self.final:
            found |= self.ancestry[node]
        return found


@contextmanager
def stepwise() -> Iterator[None]:
    """Let torch's transformer layers run operation by operation, not through their fast path."""
    fast = torch.backends.mha.get_fastpath_enabled()
    try:
        torch.backends.mha.set_fastpath_enabled(False)
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


def trace(model: nn.Module, inputs: Tensor, recorder: "Recorder | None" = None) -> Trace:
    """Run ``model`` once on ``inputs`` and record the graph; leaves the model as it was.

    A ``recorder`` of one's own sees every operation as it is recorded.
    """
    recorder = recorder or Recorder(model)
    inputs = inputs.detach().to(next(model.parameters(), inputs).device)
    places = of_images(inputs) if inputs.ndim == 4 else None
    recorder.note(inputs, Node("input", "", 0, (), tuple(inputs.shape), places))
    with untouched(model), torch.no_grad(), stepwise():
        handles = recorder.listen(model)
        try:
            with recorder:
                out = model(inputs)
        finally:
            for handle in handles:
                handle.remove()
    recorder.trace.final = tuple(n for n in recorder.numbers_of(out) if n >= 0)
    return recorder.trace


class Recorder(TorchFunctionMode):
    """Notes every torch function whose arguments descend from the input."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.trace = Trace()
        self.trace.children = {
            name: any(True for _ in m.children()) for name, m in model.named_modules()
        }
        self.numbers: dict[int, int] = {}
        self.alive: list[Tensor] = []  # an id is only unique while its tensor lives
        self.stack: list[tuple[str, int]] = [("", 0)]
        self.calls = 0

    def listen(self, model: nn.Module) -> list[Any]:
        """Follow which module is running; the handles of the hooks."""
        handles = []
        for name, module in model.named_modules():

            def enter(module: nn.Module, args: Any, kwargs: Any, name: str = name) -> None:
                self.calls += 1
                self.stack.append((name, self.calls))
                self.trace.started.setdefault(name, len(self.trace.nodes))
                self.trace.inputs.setdefault(name, []).append(self.numbers_of((args, kwargs)))

            def leave(
                module: nn.Module, args: Any, kwargs: Any, out: Any, name: str = name
            ) -> None:
                self._opaque((args, kwargs), out)
                self.stack.pop()
                self.trace.outputs.setdefault(name, []).append(self.numbers_of(out))

            handles.append(module.register_forward_pre_hook(enter, with_kwargs=True))
            handles.append(module.register_forward_hook(leave, with_kwargs=True))
        return handles

    def numbers_of(self, value: Any) -> tuple[int, ...]:
        """Nodes of all tensors in a value, -1 for those that do not descend from the input."""
        return tuple(self.numbers.get(id(t), -1) for t in tensors(value))

    def known(self, value: Any) -> Places | None:
        """Places of a tensor that has been noted."""
        number = self.numbers.get(id(value), -1)
        return self.trace.nodes[number].places if number >= 0 else None

    def note(self, value: Tensor, node: Node) -> None:
        """Number a tensor as the next node."""
        number = len(self.trace.nodes)
        past = flow = 1 << number
        for parent in node.parents:
            past |= self.trace.ancestry[parent]
            if node.op not in _JOINS or somewhere(self.trace.nodes[parent].places):
                flow |= self.trace.flow[parent]
        if node.parents:
            node.source = self.trace.common(node.parents)
            node.depth = self.trace.nodes[node.source].depth + 1
        self.trace.nodes.append(node)
        self.trace.ancestry.append(past)
        self.trace.flow.append(flow)
        self.numbers[id(value)] = number
        self.alive.append(value)

    def _parents(self, value: Any) -> tuple[int, ...]:
        known = [self.numbers[id(t)] for t in tensors(value) if id(t) in self.numbers]
        return tuple(dict.fromkeys(known))

    def _opaque(self, given: Any, out: Any) -> None:
        """What a module made out of sight, as in an autograd function, comes from its inputs."""
        parents = self._parents(given)
        for value in tensors(out):
            if parents and id(value) not in self.numbers:
                (places,) = follow("", None, (given,), {}, value, self.known)
                self.note(value, Node("", *self.stack[-1], parents, tuple(value.shape), places))

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        op = getattr(func, "__name__", str(func))
        parents = self._parents((args, kwargs))
        spatial = "softmax" in op and self._over_places(args, kwargs)
        out = func(*args, **kwargs)
        if not parents or op in _EMPTY:
            return out
        if op == "__setitem__":
            self._written(args, parents)
            return out
        places = follow(op, func, args, kwargs, out, self.known)
        for value, where in zip(tensors(out), places, strict=True):
            node = Node(op, *self.stack[-1], parents, tuple(value.shape), where, spatial=spatial)
            if op in _CONVS:
                weight = kwargs.get("weight", args[1] if len(args) > 1 else None)
                groups = kwargs.get("groups", args[6] if len(args) > 6 else 1)
                if weight is not None and isinstance(groups, int):
                    node.kernel = max(weight.shape[2:])
                    node.depthwise = groups > 1 and weight.shape[1] == 1
            self.note(value, node)
        return out

    def _over_places(self, args: Any, kwargs: Any) -> bool:
        """Whether a softmax runs over places of the image."""
        names = dict(zip(("input", "dim"), args, strict=False)) | kwargs
        places, dim = self.known(names.get("input")), names.get("dim")
        return places is not None and isinstance(dim, int) and varies(places, dim)

    def _written(self, args: Any, parents: tuple[int, ...]) -> None:
        """Assignment to a part of a tensor."""
        whole, where, part = args
        before, new = self.known(whole), self.known(part)
        places = None
        if before or new:
            found = []
            for axis in range(3):
                base = before[axis].clone() if before else torch.full_like(whole, torch.nan)
                base[where] = new[axis].to(base.dtype) if new else torch.nan
                found.append(base)
            places = (found[0], found[1], found[2])
        shape = tuple(whole.shape)
        self.note(whole, Node("__setitem__", *self.stack[-1], parents, shape, places))
